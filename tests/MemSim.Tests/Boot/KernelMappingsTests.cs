using FluentAssertions;
using MemSim.Lru;
using MemSim.Tests.Filesystems;
using MemSim.Tests.Reclaim;
using Xunit;

namespace MemSim.Tests.Boot;

/// <summary>What a textbook looks up in a running kernel: where the image is mapped, where a page's descriptor lies, which pages are on a list.</summary>
public sealed class KernelMappingsTests : MachineTests
{
    [Fact]
    public void The_image_is_mapped_where_it_was_linked_to_run_with_the_rights_of_its_parts()
    {
        Machine machine = Boot(MachineSpec.X86_64("1G"));
        CpuTranslation mmu = machine.Cpus[0].Mmu;

        mmu.TryTranslate(new VirtualAddress(0xffff_ffff_8100_0000), MemoryAccess.Execute, out PhysicalAddress code, out _).Should().BeTrue();
        code.Value.Should().Be(0x100_0000);
        mmu.TryTranslate(new VirtualAddress(0xffff_ffff_8100_0000), MemoryAccess.Write, out _, out _).Should().BeFalse("code is not written");
        BootPlanEnd(machine, out ulong end);
        mmu.TryTranslate(new VirtualAddress(0xffff_ffff_8000_0000 + end - 1), MemoryAccess.Write, out PhysicalAddress last, out _).Should().BeTrue("the end is data");
        last.Value.Should().Be(end - 1);
        mmu.TryTranslate(new VirtualAddress(0xffff_ffff_8000_0000 + end - 1), MemoryAccess.Execute, out _, out _).Should().BeFalse();
        mmu.TryTranslate(new VirtualAddress(0xffff_ffff_8000_0000), MemoryAccess.Read, out _, out _).Should().BeFalse("cleanup_highmap() took what lies before it away");
    }

    [Theory]
    [InlineData("x86_64", 0xffff_ea00_0000_0000UL)]
    [InlineData("arm64", 0xffff_fc00_0000_0000UL)]
    public void Every_page_has_its_descriptor_at_vmemmap(string architecture, ulong vmemmap)
    {
        Machine machine = Boot(architecture == "arm64" ? MachineSpec.Arm64("1G") : MachineSpec.X86_64("1G"));
        CpuTranslation mmu = machine.Cpus[0].Mmu;
        long first = (long)(machine.Addresses.PhysicalBase >> PageGeometry.PageShift);
        HashSet<ulong> places = [];
        foreach (long pfn in new[] { first, first + 4096, first + 100_000 })
        {
            mmu.TryTranslate(new VirtualAddress(vmemmap + ((ulong)(pfn - first) * 64)), MemoryAccess.Read, out PhysicalAddress at, out _).Should().BeTrue();
            machine.GetPage(at.Pfn).Flags.Should().HaveFlag(PageFlags.Reserved, "the memory map lies in memory that the allocator never got");
            places.Add(at.Value);
        }

        places.Should().HaveCount(3);
        mmu.TryTranslate(new VirtualAddress(vmemmap + (0x200_0000UL * 64)), MemoryAccess.Read, out _, out _).Should().BeFalse("there is no memory at 128 GiB");
    }

    [Fact]
    public void Pages_of_files_lie_on_the_list_that_reclaim_looks_at()
    {
        using FileMachine rig = new();
        OpenFile file = rig.FileOnDisk(8);
        for (int i = 0; i < 8; i++)
        {
            rig.ReadPage(file, i).Should().Be((byte)(i + 1));
        }

        rig.Machine.Lru.DrainAll();
        IReadOnlyList<Page> inactive = rig.Machine.Reclaim.LruPages(rig.Machine.Nodes[0], LruList.InactiveFile);
        inactive.Should().HaveCount((int)rig.Counters.InactiveFile);
        inactive.Should().Contain(rig.Machine.GetPage(new Pfn(FileMachine.PageOf(file, 3))));
        rig.Machine.Reclaim.LruPages(rig.Machine.Nodes[0], LruList.Unevictable).Should().BeEmpty();
        rig.Machine.Reclaim.LruPages(rig.Machine.Nodes[0], LruList.ActiveAnon).Should().BeEmpty();
    }

    [Theory]
    [InlineData("6.1")]
    [InlineData("7.3")]
    public void The_lists_of_anonymous_pages_hold_what_is_counted(string kernel)
    {
        Machine machine = Boot(MachineSpec.X86_64("256M").WithCommandLine("transparent_hugepage=never").WithKernel(kernel));
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("p");
        VirtualAddress at = process.Mm.Mmap(100 * 4096, Prot.Read | Prot.Write);
        using (cpu.Run(process))
        {
            for (ulong i = 0; i < 100; i++)
            {
                cpu.Write(at + (i * 4096), 1);
            }
        }

        machine.Lru.DrainAll();
        Node node = machine.Nodes[0];
        (machine.Reclaim.LruPages(node, LruList.ActiveAnon).Count, machine.Reclaim.LruPages(node, LruList.InactiveAnon).Count)
            .Should().Be(((int)node.Counters.ActiveAnon, (int)node.Counters.InactiveAnon));
        (node.Counters.ActiveAnon + node.Counters.InactiveAnon).Should().BeGreaterThanOrEqualTo(100);
    }

    [Theory]
    [InlineData("512M", 1)]
    [InlineData("2G", 3)]
    [InlineData("14G", 10)]
    public void The_inactive_ratio_grows_with_the_root_of_the_zone(string memory, int ratio) =>
        Boot(MachineSpec.X86_64(memory).WithoutContents()).Zones.MaxBy(zone => zone.PresentPages)!.InactiveRatio.Should().Be(ratio);

    [Fact]
    public void A_machine_with_movable_pages_alone_compacts_when_reclaim_is_on()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        machine.Reclaim.Enable();
        Cpu cpu = machine.Cpus[0];
        MovablePool pool = machine.Migration.CreateMovablePool();
        List<int> numbers = [];
        while (pool.Allocate(cpu, Gfp.HighUser | Gfp.NoWarn | Gfp.NoRetry) is >= 0 and int number)
        {
            numbers.Add(number);
        }

        for (int i = 0; i < numbers.Count; i++)
        {
            if (i % 4 != 0)
            {
                pool.Free(cpu, numbers[i]);
            }
        }

        machine.Memory.DrainAllPages();
        Page block = cpu.AllocPages(Gfp.Kernel | Gfp.Comp, 9);
        block.IsNull.Should().BeFalse("direct compaction makes room");
        machine.Events("compact_stall").Should().BePositive();
        cpu.FreePages(block, 9);
    }

    private static void BootPlanEnd(Machine machine, out ulong end)
    {
        MemSim.Boot.EarlyAllocation image = machine.BootPlan!.EarlyAllocations.First(a => a.What == "kernel image");
        end = image.Start + image.Length;
    }
}
