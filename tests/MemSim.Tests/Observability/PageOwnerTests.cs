using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Observability;

/// <summary><c>/sys/kernel/debug/page_owner</c>, line for line as the kernel prints it.</summary>
public sealed class PageOwnerTests : MachineTests
{
    [Fact]
    public void A_block_is_listed_with_who_asked_for_it()
    {
        Machine machine = Boot(MachineSpec.X86_64("96M").WithPageOwner());
        Cpu cpu = machine.Cpus[0];
        string before = machine.Proc.PageOwner;
        Page page;
        using (cpu.Run(new KernelTask("bash", 46265)))
        using (cpu.CallSite("alloc_buddy_huge_page+0x43/0x90"))
        {
            page = cpu.AllocPages(Gfp.Kernel | Gfp.Comp, 2);
        }

        long pfn = page.Pfn.Value;
        machine.Proc.PageOwner.Should().NotBe(before).And.Contain(
            "Page allocated via order 2, mask 0x40cc0(GFP_KERNEL|__GFP_COMP), pid 46265, tgid 46265 (bash), ts 0 ns, free_ts 0 ns\n"
            + $"PFN {pfn} type Unmovable Block {pfn >> 9} type Unmovable Flags 0x{0xfffffc0010000:x}(head|node=0|zone=1|lastcpupid=0x1fffff)\n"
            + " alloc_buddy_huge_page+0x43/0x90\n\n");
        cpu.FreePages(page, 2);
        machine.Proc.PageOwner.Should().Be(before);
    }

    [Fact]
    public void Newer_kernels_print_frames_in_hexadecimal_and_no_earlier_free()
    {
        Machine machine = Boot(MachineSpec.X86_64("96M").WithPageOwner().WithPersonality(MemSim.Kernels.KernelLines.Linux6_18));
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPages(Gfp.HighUserMovable);
        machine.Proc.PageOwner.Should().Contain($", ts 0 ns\nPFN 0x{page.Pfn.Value:x} type Movable Block ");
        cpu.FreePages(page);
    }

    [Fact]
    public void Owners_follow_a_page_that_moves()
    {
        Machine machine = Boot(MachineSpec.X86_64("96M").WithPageOwner().WithCommandLine("transparent_hugepage=never"));
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("mover");
        using (cpu.Run(process))
        using (cpu.CallSite("handle_mm_fault+0x1"))
        {
            VirtualAddress at = process.Mm.Mmap(600 << 12, Prot.Read | Prot.Write);
            for (int i = 0; i < 600; i++)
            {
                cpu.Write(at + (i << 12), i);
            }

            for (int i = 0; i < 600; i += 2)
            {
                process.Mm.Munmap(at + (i << 12), 1 << 12);
            }
        }

        machine.Compaction.CompactMemory();
        machine.Proc.PageOwner.Should().Contain(" handle_mm_fault+0x1\nPage has been migrated, last migrate reason: compaction\n\n");
    }

    [Fact]
    public void Without_tracking_there_is_no_such_file()
    {
        Machine machine = Boot(MachineSpec.X86_64("96M"));
        machine.Proc.PageOwner.Should().BeEmpty();
        machine.Leaks.Track();
        Page page = machine.Cpus[0].AllocPages(Gfp.Kernel);
        machine.Proc.PageOwner.Should().Contain("Page allocated via order 0, mask 0xcc0(GFP_KERNEL), pid 0, tgid 0 (swapper/0)");
        machine.Cpus[0].FreePages(page);
    }
}
