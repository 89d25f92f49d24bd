using FluentAssertions;
using MemSim.Statistics;
using MemSim.Tests.VirtualMemory;
using Xunit;

namespace MemSim.Tests.HugePages;

/// <summary>Each mechanism of transparent huge pages alone.</summary>
public class HugePageTests
{
    private const long Huge = 2 << 20;

    public static TheoryData<string> Architectures => ["x86_64", "pae", "arm64"];

    [Theory]
    [MemberData(nameof(Architectures))]
    public void A_write_after_reading_splits_the_huge_zero_page(string architecture)
    {
        using Machine machine = Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        long free = Warm(machine);
        Process process = machine.CreateProcess("huge");
        VirtualAddress at = Map(process, 2 * Huge);
        using (cpu.Run(process))
        {
            long faults = process.MinorFaults;
            for (int i = 0; i < 1024; i++)
            {
                cpu.Read<int>(at + (i * 4096)).Should().Be(0);
                cpu.Write(at + (i * 4096), i);
            }

            (process.MinorFaults - faults).Should().Be(2 * (1 + 512), "6.1 never copies the huge zero page: its entry becomes 512 small ones, written one by one");
        }

        Event(machine, VmEvent.ThpZeroPageAlloc).Should().Be(1);
        process.Exit();
        machine.Verify();
        Settle(machine).Should().Be(free);
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void A_write_fault_takes_one_block_of_order_9(string architecture)
    {
        using Machine machine = Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("huge");
        VirtualAddress at = Map(process, 2 * Huge);
        using (cpu.Run(process))
        {
            cpu.Write(at + 12345, 1);
            cpu.Read<int>(at + (Huge - 8)).Should().Be(0);
        }

        process.MinorFaults.Should().Be(1);
        process.Mm.AnonPages.Should().Be(512);
        Event(machine, VmEvent.ThpFaultAlloc).Should().Be(1);
        PageTableEntry entry = process.Mm.Tables.Lookup(at);
        entry.Level.Should().Be(2);
        entry.Pages.Should().Be(512);
        Page head = machine.GetPage(entry.Frame);
        head.CompoundOrder.Should().Be(9);
        head.MapCount.Should().Be(1);
        machine.Proc.MemInfo.Should().Contain("AnonHugePages:      2048 kB");
        process.Smaps.Should().Contain("AnonHugePages:      2048 kB").And.Contain("THPeligible:    1");
        machine.Lru.DrainAll();
        machine.Nodes[0].Counters.InactiveAnon.Should().Be(512);
        process.Mm.Tables.Deposits.Should().Be(1);
        machine.Verify();
        process.Exit();
        machine.Verify();
    }

    [Fact]
    public void Madvise_mode_serves_only_those_who_ask()
    {
        using Machine machine = Boot("x86_64", TransparentHugePages.Madvise);
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("madvise");
        VirtualAddress at = Map(process, 2 * Huge);
        process.Mm.Madvise(at, Huge, MemoryAdvice.HugePage).Should().Be(Errno.None);
        using (cpu.Run(process))
        {
            cpu.Write(at, 1);
            cpu.Write(at + Huge, 1);
        }

        process.Mm.AnonPages.Should().Be(513);
        machine.HugePages.Enabled = TransparentHugePages.Never;
        process.Mm.Madvise(at, Huge, MemoryAdvice.DontNeed);
        using (cpu.Run(process))
        {
            cpu.Write(at, 1);
        }

        process.Mm.AnonPages.Should().Be(2);
        machine.Verify();
    }

    [Fact]
    public void Without_a_block_of_order_9_small_pages_serve()
    {
        using Machine machine = Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("fallback");
        VirtualAddress at = Map(process, Huge);
        List<Page> taken = [];
        while (cpu.AllocPages(Gfp.HighUser | Gfp.NoWarn | Gfp.NoRetry, 9) is { IsNull: false } block)
        {
            taken.Add(block);
        }

        using (cpu.Run(process))
        {
            cpu.Write(at, 1);
        }

        process.Mm.AnonPages.Should().Be(1);
        Event(machine, VmEvent.ThpFaultFallback).Should().Be(1);
        taken.ForEach(page => cpu.FreePages(page, 9));
        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void Fork_shares_a_huge_page_and_the_first_writer_copies_one_small_page(string architecture)
    {
        foreach (bool childWritesFirst in (bool[])[true, false])
        {
            using Machine machine = Boot(architecture);
            Cpu cpu = machine.Cpus[0];
            long free = Warm(machine);
            Process parent = machine.CreateProcess("parent");
            VirtualAddress at = Map(parent, Huge);
            using (cpu.Run(parent))
            {
                cpu.Write(at, 11);
                cpu.Write(at + 4096, 12);
            }

            Process child = parent.Fork();
            machine.Verify();
            Process first = childWritesFirst ? child : parent;
            Process second = childWritesFirst ? parent : child;
            using (cpu.Run(first))
            {
                cpu.Write(at, 21);
            }

            Event(machine, VmEvent.ThpSplitPmd).Should().Be(1);
            machine.Verify();
            using (cpu.Run(second))
            {
                cpu.Read<int>(at).Should().Be(11);
                cpu.Write(at, 31);
                cpu.Read<int>(at + 4096).Should().Be(12);
            }

            machine.Verify();
            using (cpu.Run(first))
            {
                cpu.Read<int>(at).Should().Be(21);
                cpu.Read<int>(at + 4096).Should().Be(12);
            }

            first.Exit();
            machine.Verify();
            using (cpu.Run(second))
            {
                cpu.Read<int>(at).Should().Be(31);
            }

            second.Exit();
            machine.Verify();
            Settle(machine).Should().Be(free);
        }
    }

    [Fact]
    public void The_last_user_of_a_shared_huge_page_uses_it_on()
    {
        using Machine machine = Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        Process parent = machine.CreateProcess("parent");
        VirtualAddress at = Map(parent, Huge);
        using (cpu.Run(parent))
        {
            cpu.Write(at, 11);
        }

        Process child = parent.Fork();
        child.Exit();
        using (cpu.Run(parent))
        {
            cpu.Write(at, 12);
        }

        Event(machine, VmEvent.ThpSplitPmd).Should().Be(0);
        parent.Mm.Tables.Lookup(at).Level.Should().Be(2);
        machine.Verify();
    }

    [Fact]
    public void Unmapping_part_splits_the_entry_and_leaves_the_page_for_later()
    {
        using Machine machine = Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        long free = Warm(machine);
        Process process = machine.CreateProcess("partial");
        VirtualAddress at = Map(process, Huge);
        using (cpu.Run(process))
        {
            cpu.Write(at, 7);
            process.Mm.Munmap(at + (256 * 4096), 256 * 4096).Should().Be(Errno.None);
            cpu.Read<int>(at).Should().Be(7);
        }

        Event(machine, VmEvent.ThpSplitPmd).Should().Be(1);
        Event(machine, VmEvent.ThpDeferredSplitPage).Should().Be(1);
        Event(machine, VmEvent.ThpSplitPage).Should().Be(0);
        machine.HugePages.DeferredSplits.Should().Be(1);
        process.Mm.AnonPages.Should().Be(256);
        machine.Nodes[0].Counters.AnonHugePages.Should().Be(0);
        machine.Verify();
        long before = machine.FreePagesAtRest();
        machine.Mm!.Huge.SplitDeferred(cpu, machine.Nodes[0], 1).Should().Be(1);
        (machine.FreePagesAtRest() - before).Should().Be(256);
        Event(machine, VmEvent.ThpSplitPage).Should().Be(1);
        machine.Verify();
        process.Exit();
        Settle(machine).Should().Be(free);
    }

    [Fact]
    public void Splitting_puts_the_parts_on_the_list_before_the_head()
    {
        using Machine machine = Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("split");
        VirtualAddress at = Map(process, Huge);
        using (cpu.Run(process))
        {
            cpu.Write(at, 7);
        }

        Page head = machine.GetPage(process.Mm.Tables.Lookup(at).Frame);
        machine.HugePages.Split(cpu, head).Should().BeTrue();
        head.IsCompound.Should().BeFalse();
        head.Count.Should().Be(1);
        head.Lru.Previous.Pfn.Value.Should().Be(head.Pfn.Value + 1);
        machine.GetPage(head.Pfn + 511).MapCount.Should().Be(1);
        process.Mm.AnonPages.Should().Be(512);
        machine.Verify();
        process.Exit();
        machine.Verify();
    }

    [Fact]
    public void A_huge_page_that_somebody_holds_is_not_split()
    {
        using Machine machine = Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("pinned");
        VirtualAddress at = Map(process, Huge);
        using (cpu.Run(process))
        {
            cpu.Write(at, 7);
        }

        Page head = machine.GetPage(process.Mm.Tables.Lookup(at).Frame);
        machine.Frames.AddReferences(head.FrameIndex, 1);
        machine.HugePages.Split(cpu, head).Should().BeFalse();
        Event(machine, VmEvent.ThpSplitPageFailed).Should().Be(1);
        machine.Frames.AddReferences(head.FrameIndex, -1);
        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void Khugepaged_makes_a_huge_page_of_small_ones(string architecture)
    {
        using Machine machine = Boot(architecture, TransparentHugePages.Madvise);
        Cpu cpu = machine.Cpus[0];
        long free = Warm(machine);
        Process process = machine.CreateProcess("small");
        VirtualAddress at = Map(process, Huge);
        using (cpu.Run(process))
        {
            for (int i = 0; i < 500; i++)
            {
                cpu.Write(at + (i * 4096), i + 1);
            }
        }

        process.Mm.Madvise(at, Huge, MemoryAdvice.HugePage);
        machine.AdvanceTime(TimeSpan.FromSeconds(9));
        Event(machine, VmEvent.ThpCollapseAlloc).Should().Be(0);
        machine.AdvanceTime(TimeSpan.FromSeconds(1));
        Event(machine, VmEvent.ThpCollapseAlloc).Should().Be(1);
        machine.HugePages.Khugepaged.PagesCollapsed.Should().Be(1);
        process.Mm.AnonPages.Should().Be(512);
        process.Mm.Tables.Lookup(at).Level.Should().Be(2);
        machine.Verify();
        using (cpu.Run(process))
        {
            for (int i = 0; i < 512; i++)
            {
                cpu.Read<int>(at + (i * 4096)).Should().Be(i < 500 ? i + 1 : 0);
                cpu.Write(at + (i * 4096), -i);
            }
        }

        process.Exit();
        machine.Verify();
        Settle(machine).Should().Be(free);
    }

    [Fact]
    public void Khugepaged_keeps_to_its_limits()
    {
        using Machine machine = Boot("x86_64", TransparentHugePages.Madvise);
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("small");
        VirtualAddress at = Map(process, Huge);
        process.Mm.Madvise(at, Huge, MemoryAdvice.NoHugePage);
        using (cpu.Run(process))
        {
            for (int i = 0; i < 100; i++)
            {
                cpu.Write(at + (i * 4096), i + 1);
            }
        }

        process.Mm.Madvise(at, Huge, MemoryAdvice.HugePage);
        machine.HugePages.Khugepaged.MaxEmpty = 411;
        machine.HugePages.Khugepaged.Run(cpu);
        Event(machine, VmEvent.ThpScanExceedNonePte).Should().Be(1);
        machine.HugePages.Khugepaged.MaxEmpty = 412;
        machine.HugePages.Khugepaged.MaxShared = 99;
        Process child = process.Fork();
        using (cpu.Run(process))
        {
            cpu.Write(at + (511 * 4096), 1);
        }

        machine.HugePages.Khugepaged.Run(cpu);
        Event(machine, VmEvent.ThpScanExceedSharePte).Should().BePositive();
        child.Exit();
        machine.HugePages.Khugepaged.Run(cpu);
        process.Mm.Tables.Lookup(at).Level.Should().Be(2);
        machine.Verify();
    }

    [Fact]
    public void Moving_an_area_takes_huge_pages_along_when_the_alignment_fits()
    {
        using Machine machine = Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("move");
        VirtualAddress at = Map(process, Huge);
        using (cpu.Run(process))
        {
            cpu.Write(at, 7);
            VirtualAddress to = at + (-8 * Huge);
            process.Mm.Mremap(at, Huge, Huge, RemapFlags.MayMove | RemapFlags.Fixed, to).Succeeded.Should().BeTrue();
            process.Mm.Tables.Lookup(to).Level.Should().Be(2);
            cpu.Read<int>(to).Should().Be(7);
            process.Mm.Mremap(to, Huge, Huge, RemapFlags.MayMove | RemapFlags.Fixed, to + (-4 * Huge) + 4096).Succeeded.Should().BeTrue();
            process.Mm.Tables.Lookup(to + (-4 * Huge) + 4096).Level.Should().Be(1);
            cpu.Read<int>(to + (-4 * Huge) + 4096).Should().Be(7);
        }

        machine.Verify();
        process.Exit();
        machine.Verify();
    }

    [Fact]
    public void Huge_pages_of_x86_32_without_PAE_have_4_MiB()
    {
        using Machine machine = Boot("x86_32");
        machine.HugePages.PageSize.Should().Be(ByteSize.FromMiB(4));
        Cpu cpu = machine.Cpus[0];
        long free = Warm(machine);
        Process process = machine.CreateProcess("huge");
        VirtualAddress at = Map(process, 4 * Huge);
        using (cpu.Run(process))
        {
            cpu.Write(at, 1);
            cpu.Read<int>(at + ((2 * Huge) - 4)).Should().Be(0);
            machine.Proc.MemInfo.Should().Contain("AnonHugePages:      4096 kB");
            process.Mm.AnonPages.Should().Be(1024);
            PageTableEntry entry = process.Mm.Tables.Lookup(at);
            (entry.Level, entry.Pages).Should().Be((2, 1024));
            Process child = process.Fork();
            cpu.Write(at + 4096, 2);
            process.Mm.Tables.Lookup(at).Level.Should().Be(1, "the child has the page as well");
            machine.Verify();
            child.Exit();
        }

        process.Exit();
        machine.Verify();
        Settle(machine).Should().Be(free);
    }

    [Fact]
    public void A_boot_with_less_than_512_MiB_switches_huge_pages_off_and_a_larger_one_on()
    {
        using Machine small = Machine.Boot(MachineSpec.X86_64("512M").WithCommandLine("transparent_hugepage=always"));
        small.HugePages.Enabled.Should().Be(TransparentHugePages.Never, "the kernel itself takes some of the 512 MiB");
        small.HugePages.UseZeroPage.Should().BeFalse();
        using Machine large = Machine.Boot(MachineSpec.X86_64("600M"));
        large.HugePages.Enabled.Should().Be(TransparentHugePages.Always);
        long min = large.Zones.Sum(zone => zone.GetWatermarkPages(Watermark.Min));
        large.HugePages.Enabled = TransparentHugePages.Never;
        large.Zones.Sum(zone => zone.GetWatermarkPages(Watermark.Min)).Should().BeLessThan(min, "without khugepaged the kernel needs less free memory");
        large.HugePages.Enabled = TransparentHugePages.Always;
        large.Zones.Sum(zone => zone.GetWatermarkPages(Watermark.Min)).Should().BeGreaterThanOrEqualTo(min, "what the boot freed last counts as well now");
        using Machine asked = Machine.Boot(MachineSpec.X86_64("600M").WithCommandLine("transparent_hugepage=madvise"));
        asked.HugePages.Enabled.Should().Be(TransparentHugePages.Madvise);
        asked.Proc.SysKernelMm.Should().Contain("transparent_hugepage/enabled = always [madvise] never\n");
    }

    [Fact]
    public void The_pool_takes_huge_pages_round_the_nodes_and_gives_them_back()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M", cpus: 2).WithNodes("256M", "256M"));
        Cpu cpu = machine.Cpus[0];
        machine.Memory.DrainAllPages();
        long free = machine.FreePagesAtRest();
        machine.Hugetlb.Pool.Resize(cpu, 11).Should().Be(11);
        machine.Hugetlb.Pool.OnNode(0).Should().Be(6);
        machine.Hugetlb.Pool.OnNode(1).Should().Be(5);
        machine.Proc.MemInfo.Should().Contain("HugePages_Total:      11").And.Contain("HugePages_Free:       11");
        machine.Verify();
        machine.Hugetlb.Pool.Resize(cpu, 100_000).Should().BeInRange(100, 256);
        machine.Hugetlb.Pool.ResizeNode(cpu, 1, 3).Should().Be(3);
        machine.Verify();
        machine.Hugetlb.Pool.Resize(cpu, 0).Should().Be(0);
        machine.FreePagesAtRest().Should().Be(free);
        machine.Verify();
    }

    /// <summary>A machine with the settings of a large one: a boot with less than 512 MiB switches them off.</summary>
    internal static Machine Boot(string architecture, TransparentHugePages enabled = TransparentHugePages.Always)
    {
        Machine machine = ForkTests.Boot(architecture);
        machine.HugePages.Enabled = enabled;
        machine.HugePages.Defrag = HugePageDefrag.Madvise;
        machine.HugePages.UseZeroPage = true;
        machine.HugePages.Khugepaged.Defrag = true;
        return machine;
    }

    internal static long Event(Machine machine, VmEvent e) => machine.Events[e];

    /// <summary>Maps memory at a multiple of 4 MiB.</summary>
    internal static VirtualAddress Map(Process process, long bytes)
    {
        ulong at = (process.Mm.MmapBase - (64UL << 20)) & ~((2 * (ulong)Huge) - 1);
        return process.Mm.Mmap(new VirtualAddress(at), bytes, Prot.Read | Prot.Write, MapFlags.Fixed | MapFlags.Anonymous | MapFlags.Private);
    }

    internal static long Warm(Machine machine)
    {
        machine.CreateProcess("warm").Exit();
        return machine.FreePagesAtRest();
    }

    /// <summary>Pages free once nobody needs the huge zero page.</summary>
    internal static long Settle(Machine machine)
    {
        machine.Mm!.Huge.FreeZero(machine.Cpus[0]);
        return machine.FreePagesAtRest();
    }
}
