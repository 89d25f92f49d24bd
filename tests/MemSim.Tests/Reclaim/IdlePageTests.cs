using FluentAssertions;
using MemSim.Boot;
using MemSim.Tests.HugePages;
using Xunit;

namespace MemSim.Tests.Reclaim;

/// <summary>Idle page tracking, as its page in the kernel's documentation describes it.</summary>
public class IdlePageTests
{
    private const int Size = PageGeometry.PageSize;
    private const int Pages = 16;

    public static TheoryData<string> Architectures => ["x86_64", "x86_32", "pae", "arm64"];

    [Theory]
    [MemberData(nameof(Architectures))]
    public void Pages_stay_idle_until_a_process_uses_them_and_reclaim_hears_of_it(string architecture)
    {
        using Machine machine = Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("idle");
        using ContextScope scope = cpu.Run(process);
        int[] pages = Filled(machine, process, out VirtualAddress data);

        MarkAll(machine).Should().BePositive();
        machine.Mmu.FlushAddressSpace(cpu, process.Mm.Tables);
        for (int i = 0; i < Pages; i += 2)
        {
            _ = cpu.Read<int>(data + (i * Size));
        }

        IdleAmong(machine, pages).Should().Equal(Enumerable.Range(0, Pages).Where(i => i % 2 != 0));
        FlagsOf(machine, pages[0]).Should().Be(PageFlags.Young, "reading the file took the trace away from the page tables");
        FlagsOf(machine, pages[1]).Should().Be(PageFlags.Idle | PageFlags.Young, "it had been used before it was marked");
        machine.Lru.Owners.Referenced(cpu, pages[0]).Count.Should().Be(1);
        machine.Lru.Owners.Referenced(cpu, pages[0]).Count.Should().Be(0, "it is told once");
        FlagsOf(machine, pages[0]).Should().Be(PageFlags.None);
        machine.Verify();
    }

    [Fact]
    public void A_CPU_that_has_the_translation_uses_a_page_without_a_trace()
    {
        using Machine machine = Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("cached");
        using ContextScope scope = cpu.Run(process);
        int[] pages = Filled(machine, process, out VirtualAddress data);
        MarkAll(machine);

        cpu.Write(data, 5);
        IdleAmong(machine, pages).Should().Contain(0);
        machine.Mmu.FlushAddressSpace(cpu, process.Mm.Tables);
        cpu.Write(data, 6);
        IdleAmong(machine, pages).Should().Equal(Enumerable.Range(1, Pages - 1));
    }

    [Fact]
    public void Reclaim_that_finds_a_used_page_says_that_it_is_not_idle()
    {
        using Machine machine = Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("referenced");
        using ContextScope scope = cpu.Run(process);
        int[] pages = Filled(machine, process, out VirtualAddress data);
        MarkAll(machine);
        _ = machine.Lru.Owners.Referenced(cpu, pages[3]);
        FlagsOf(machine, pages[3]).Should().Be(PageFlags.Idle, "that it was young is from before it was marked");

        machine.Mmu.FlushAddressSpace(cpu, process.Mm.Tables);
        _ = cpu.Read<int>(data + (3 * Size));
        machine.Lru.Owners.Referenced(cpu, pages[3]).Count.Should().Be(1);
        FlagsOf(machine, pages[3]).Should().Be(PageFlags.None);
    }

    [Theory]
    [InlineData("6.1", false)]
    [InlineData("6.12", true)]
    public void Reading_a_file_uses_its_pages_but_not_where_generations_count_it(string kernel, bool stays)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 1).WithKernel(kernel).WithIdlePageTracking());
        Cpu cpu = machine.Cpus[0];
        using BlockDevice disk = new("sda", "16M");
        DiskFileSystem files = machine.Files.Mount(disk);
        OpenFile file = files.Create("file").Value;
        _ = cpu.Files.Write(file, 0, new byte[Size]).Value;
        machine.Lru.DrainAll();
        int pfn = file.Mapping.Find(0);
        MarkAll(machine);
        FlagsOf(machine, pfn).Should().Be(PageFlags.Idle);

        _ = cpu.Files.Read(file, 0, new byte[Size]).Value;
        FlagsOf(machine, pfn).Should().Be(stays ? PageFlags.Idle : PageFlags.None);
        file.Close(cpu);
        machine.Verify();
    }

    [Theory]
    [InlineData("x86_64", false)]
    [InlineData("arm64", false)]
    [InlineData("x86_32", true)]
    public void A_freed_page_is_forgotten_unless_its_flags_lie_beside_it(string architecture, bool outlives)
    {
        using Machine machine = Boot(architecture);
        Process process = machine.CreateProcess("freed");
        int[] pages;
        using (machine.Cpus[0].Run(process))
        {
            pages = Filled(machine, process, out _);
            MarkAll(machine);
        }

        process.Exit();
        FlagsOf(machine, pages[5]).HasFlag(PageFlags.Idle).Should().Be(outlives);
        machine.Verify();
        ReadAll(machine).Should().NotContain(pages[5], "it is on no list");
    }

    [Fact]
    public void A_page_that_moves_to_another_node_is_as_idle_as_before()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M", cpus: 2).WithNodes("256M", "256M").WithCommandLine("transparent_hugepage=madvise").WithIdlePageTracking());
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("moved");
        using ContextScope scope = cpu.Run(process);
        int[] pages = Filled(machine, process, out VirtualAddress data);
        MarkAll(machine);
        int[] status = new int[1];
        process.MovePages(cpu, [data], [1], status).Should().Be(Errno.None);
        status.Should().Equal(1);

        FlagsOf(machine, Pfn(process, data)).Should().Be(PageFlags.Idle | PageFlags.Young);
        FlagsOf(machine, pages[0]).Should().Be(PageFlags.None);
        machine.Verify();
    }

    [Fact]
    public void A_huge_page_has_one_bit_and_its_parts_inherit_it()
    {
        using Machine machine = Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("huge");
        using ContextScope scope = cpu.Run(process);
        VirtualAddress at = HugePageTests.Map(process, 2 << 20);
        machine.HugePages.Enabled = TransparentHugePages.Madvise;
        process.Mm.Madvise(at, 2 << 20, MemoryAdvice.HugePage).Should().Be(Errno.None);
        cpu.Write(at, 1);
        machine.Lru.DrainAll();
        int head = Pfn(process, at);
        machine.GetPage(new Pfn(head)).Flags.Should().HaveFlag(PageFlags.Head);
        MarkAll(machine);
        ReadAll(machine).Where(pfn => pfn >= head && pfn < head + 512).Should().Equal(head);

        // Mapped in parts, it counts once for an area, however many entries were used.
        process.Mm.Mprotect(at, 64 * Size, Prot.Read).Should().Be(Errno.None);
        machine.Lru.Owners.Referenced(cpu, head).Count.Should().BeLessThanOrEqualTo(1);
        machine.Mmu.FlushAddressSpace(cpu, process.Mm.Tables);
        for (int i = 64; i < 96; i++)
        {
            cpu.Write(at + (i * Size), i);
        }

        machine.Lru.Owners.Referenced(cpu, head).Count.Should().Be(1);
        FlagsOf(machine, head).Should().Be(PageFlags.None);

        MarkAll(machine);
        process.Mm.Munmap(at, Size).Should().Be(Errno.None);
        machine.Frames.AddReferences(head, 1);
        machine.Mm!.Huge.SplitPage(cpu, head).Should().BeTrue();
        machine.Lru.Put(cpu, head);
        FlagsOf(machine, head + 100).Should().HaveFlag(PageFlags.Idle);
        machine.Verify();
    }

    [Fact]
    public void What_smaps_calls_referenced_is_not_lost_to_idle_page_tracking()
    {
        using Machine machine = Boot("x86_64");
        Process process = machine.CreateProcess("smaps");
        using ContextScope scope = machine.Cpus[0].Run(process);
        Filled(machine, process, out VirtualAddress data);
        string before = process.SmapsRollup;
        MarkAll(machine);
        process.SmapsRollup.Should().Be(before);
        process.Mm.Madvise(data, Pages * Size, MemoryAdvice.Cold).Should().Be(Errno.None);
        process.SmapsRollup.Should().NotBe(before, "cold pages are young no more");
    }

    /// <summary>The PC has 0xffe0 frames: half of the last eight bytes have pages, and the kernel counts none of them.</summary>
    [Theory]
    [InlineData("x86_64", 0)]
    [InlineData("arm64", 8)]
    public void Positions_and_lengths_are_multiples_of_eight_and_end_with_the_last_page(string architecture, int counted)
    {
        using Machine machine = Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        IdlePageTracking idle = machine.Reclaim.IdlePages;
        long end = (machine.Zones.Max(z => z.EndPfn.Value) + 63) / 64 * 8;
        byte[] buffer = new byte[16];
        idle.Read(cpu, 4, buffer).Error.Should().Be(Errno.EINVAL);
        idle.Read(cpu, 0, buffer.AsSpan(0, 12)).Error.Should().Be(Errno.EINVAL);
        idle.Write(cpu, -8, buffer).Error.Should().Be(Errno.EINVAL);
        idle.Write(cpu, 0, buffer.AsSpan(0, 1)).Error.Should().Be(Errno.EINVAL);
        idle.Read(cpu, end, buffer).Value.Should().Be(0);
        idle.Read(cpu, long.MaxValue - 7, buffer).Value.Should().Be(0);
        idle.Write(cpu, end, buffer).Error.Should().Be(Errno.ENXIO);
        idle.Read(cpu, end - 8, buffer).Value.Should().Be(counted);
        idle.Write(cpu, end - 8, buffer).Value.Should().Be(counted);

        using Machine without = Machine.Boot(MachineSpec.X86_64("128M"));
        without.Reclaim.IdlePages.IsSupported.Should().BeFalse();
        without.Reclaim.IdlePages.Read(without.Cpus[0], 0, buffer).Error.Should().Be(Errno.ENOENT);
        without.Reclaim.IdlePages.Write(without.Cpus[0], 0, buffer).Error.Should().Be(Errno.ENOENT);
    }

    [Fact]
    public void Snapshots_hold_which_pages_are_idle()
    {
        using Machine machine = Boot("x86_64");
        Process process = machine.CreateProcess("saved");
        using ContextScope scope = machine.Cpus[0].Run(process);
        int[] pages = Filled(machine, process, out _);
        MarkAll(machine);
        using Machine copy = machine.Snapshot().Boot();
        copy.Reclaim.IdlePages.IsSupported.Should().BeTrue();
        FlagsOf(copy, pages[2]).Should().Be(FlagsOf(machine, pages[2])).And.HaveFlag(PageFlags.Idle);
        copy.Verify();
    }

    [Fact]
    public void On_32_bits_the_flags_take_a_word_of_each_page_at_boot()
    {
        using Machine machine = Boot("x86_32");
        EarlyAllocation extensions = machine.BootPlan!.EarlyAllocations.Single(a => a.What == "page extensions");
        (extensions.Length / 4).Should().BeInRange((ulong)machine.Zones.Max(z => z.EndPfn.Value) - 1024, (ulong)machine.Zones.Max(z => z.EndPfn.Value) + 1024);
        using Machine wide = Boot("x86_64");
        wide.BootPlan!.EarlyAllocations.Should().NotContain(a => a.What == "page extensions");
    }

    [Fact]
    public void Verify_finds_a_free_frame_that_says_it_is_idle()
    {
        using Machine machine = Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPage(Gfp.Kernel);
        int pfn = (int)page.Pfn.Value;
        cpu.FreePages(page);
        machine.Lru.Idle!.MarkIdle(pfn);
        machine.Invoking(m => m.Verify()).Should().Throw<KernelBugException>().WithMessage($"*pfn 0x{pfn:x} is not in use but has Idle*");
    }

    private static Machine Boot(string architecture) => Machine.Boot((architecture switch
    {
        "x86_32" => MachineSpec.X86_32("1200M"),
        "pae" => MachineSpec.X86_32Pae("1200M"),
        "arm64" => MachineSpec.Arm64("256M"),
        _ => MachineSpec.X86_64("256M"),
    }).WithCommandLine("transparent_hugepage=madvise").WithIdlePageTracking());

    /// <summary>Maps and writes some pages and puts them on their lists.</summary>
    private static int[] Filled(Machine machine, Process process, out VirtualAddress data)
    {
        VirtualAddress start = process.Mm.Mmap(Pages * Size, Prot.Read | Prot.Write);
        for (int i = 0; i < Pages; i++)
        {
            machine.Cpus[0].Write(start + (i * Size), i + 1);
        }

        machine.Lru.DrainAll();
        data = start;
        return [.. Enumerable.Range(0, Pages).Select(i => Pfn(process, start + (i * Size)))];
    }

    private static int MarkAll(Machine machine)
    {
        byte[] ones = new byte[(machine.Zones.Max(z => z.EndPfn.Value) + 63) / 64 * 8];
        Array.Fill(ones, byte.MaxValue);
        return machine.Reclaim.IdlePages.Write(machine.Cpus[0], 0, ones).Value;
    }

    private static List<int> ReadAll(Machine machine)
    {
        byte[] bits = new byte[(machine.Zones.Max(z => z.EndPfn.Value) + 63) / 64 * 8];
        _ = machine.Reclaim.IdlePages.Read(machine.Cpus[0], 0, bits).Value;
        return [.. Enumerable.Range(0, bits.Length * 8).Where(pfn => (bits[pfn / 8] >> (pfn % 8) & 1) != 0)];
    }

    private static int[] IdleAmong(Machine machine, int[] pages)
    {
        HashSet<int> idle = [.. ReadAll(machine)];
        return [.. Enumerable.Range(0, pages.Length).Where(i => idle.Contains(pages[i]))];
    }

    private static PageFlags FlagsOf(Machine machine, int pfn) => machine.GetPage(new Pfn(pfn)).Flags & (PageFlags.Idle | PageFlags.Young);

    private static int Pfn(Process process, VirtualAddress at) => (int)(process.PageMap(at, 1)[0] & uint.MaxValue);
}
