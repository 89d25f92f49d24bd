using FluentAssertions;
using MemSim.Kernels;
using MemSim.Statistics;
using MemSim.Swap;
using Xunit;

namespace MemSim.Tests.Processes;

/// <summary>ksmd beyond what was recorded (<c>RecordedMergingTests</c>): swap, migration, nodes, huge pages, prctl, time, kernel lines.</summary>
public class KsmTests
{
    private const int Page = PageGeometry.PageSize;
    private const int Pages = 8;

    [Fact]
    public void Ksmd_works_while_time_passes_and_a_write_gives_a_page_of_its_own()
    {
        using Machine machine = Boot();
        Process one = WithEqualPages(machine, out VirtualAddress area);
        machine.Ksm["run"] = "1";
        machine.AdvanceTime(TimeSpan.FromMilliseconds(100));

        machine.Ksm["pages_shared"].Should().Be("1");
        machine.Ksm["pages_sharing"].Should().Be("7");
        one.KsmMergingPages.Should().Be(8);
        one.Smaps.Should().Contain("KSM:                  32 kB");
        one.KsmStat.Should().Be("ksm_rmap_items 8\nksm_zero_pages 0\nksm_merging_pages 8\nksm_process_profit 32256\nksm_merge_any: no\nksm_mergeable: yes\n");
        machine.Ksm.GeneralProfit.Should().Be((7 << 12) - (8 * 64));
        machine.Verify();

        using (machine.Cpus[0].Run(one))
        {
            machine.Cpus[0].Write(area + (2 * Page), 5);
            machine.Cpus[0].Read<int>(area + (2 * Page)).Should().Be(5);
            machine.Cpus[0].Read<int>(area).Should().Be(7);
        }

        machine.Events[VmEvent.CowKsm].Should().Be(1);
        machine.Verify();
    }

    [Fact]
    public void An_hour_in_which_nobody_writes_passes_quickly_and_is_counted()
    {
        using Machine machine = Boot();
        _ = WithEqualPages(machine, out _);
        machine.Ksm.Run = KsmRun.Run;

        machine.AdvanceTime(TimeSpan.FromHours(10));

        machine.Ksm.FullScans.Should().Be(10 * 3600 * 50);
        machine.Ksm.PagesSharing.Should().Be(7);
    }

    [Fact]
    public void Pages_that_change_all_the_time_are_never_merged()
    {
        using Machine machine = Boot();
        Process one = WithEqualPages(machine, out VirtualAddress area);
        machine.Ksm.Run = KsmRun.Run;
        machine.Ksm.SmartScan = false;
        for (int round = 0; round < 6; round++)
        {
            Fill(machine, one, area, round + 100);
            machine.Ksm.Scan(machine.Cpus[0]);
        }

        machine.Ksm.PagesShared.Should().Be(0);
        machine.Ksm.PagesVolatile.Should().Be(8);
    }

    [Fact]
    public void Merged_pages_go_to_swap_and_whoever_comes_second_gets_a_copy()
    {
        using Machine machine = Boot();
        machine.Swap.SwapOn(new MemorySwapBacking("swap", 1024)).Succeeded.Should().BeTrue();
        Process one = WithEqualPages(machine, out VirtualAddress area);
        Process two = WithEqualPages(machine, out VirtualAddress second);
        Merge(machine);
        machine.Ksm.PagesSharing.Should().Be(15);

        SwapOut(machine, (int)(one.PageMap(area, 1)[0] & ((1UL << 55) - 1)));

        machine.Verify();
        one.PageMap(area, Pages).Concat(two.PageMap(second, Pages)).Should().OnlyContain(word => word >> 62 == 1);
        ReadAll(machine, one, area);
        ReadAll(machine, two, second);
        machine.Events[VmEvent.KsmSwpinCopy].Should().Be(15);
        machine.Verify();
        Merge(machine);
        machine.Ksm.PagesShared.Should().Be(1);
        one.Exit();
        two.Exit();
        machine.Ksm.Scan(machine.Cpus[0]);
        machine.Ksm.PagesShared.Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void Swapoff_gives_every_process_its_bytes_back()
    {
        using Machine machine = Boot();
        SwapArea swap = machine.Swap.SwapOn(new MemorySwapBacking("swap", 1024)).Value;
        Process one = WithEqualPages(machine, out VirtualAddress area);
        Process two = WithEqualPages(machine, out VirtualAddress second);
        Merge(machine);
        SwapOut(machine, (int)(one.PageMap(area, 1)[0] & ((1UL << 55) - 1)));

        machine.Swap.SwapOff(machine.Cpus[0], swap).Should().Be(Errno.None);

        ReadAll(machine, one, area);
        ReadAll(machine, two, second);
        machine.Verify();
    }

    [Fact]
    public void A_merged_page_moves_to_another_node_with_all_its_users_and_finds_others_there_only_across_nodes()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M", cpus: 2).WithNodes("256M", "256M").WithPersonality(KernelLines.Linux6_18));
        Process one = WithEqualPages(machine, out VirtualAddress area);
        machine.Ksm.MergeAcrossNodes = false;
        Merge(machine);
        machine.Ksm.PagesSharing.Should().Be(7);
        Process child = one.Fork();
        int[] status = new int[1];
        one.QueryPages([area], status).Should().Be(Errno.None);
        status[0].Should().Be(0);

        one.MovePages(machine.Cpus[0], [area], [1], status, moveShared: true).Should().Be(Errno.None);

        status[0].Should().Be(1);
        ReadAll(machine, one, area);
        ReadAll(machine, child, area);
        one.PageMap(area, Pages).Concat(child.PageMap(area, Pages)).Select(word => word & ((1UL << 55) - 1)).Distinct().Should().ContainSingle("all of them moved");
        machine.Verify();
        Process two = WithEqualPages(machine, out VirtualAddress second);
        Merge(machine);
        machine.Ksm.PagesShared.Should().Be(2, "the new pages are on the other node");
        machine.Verify();
        machine.Ksm["run"] = "2";
        machine.Ksm.PagesShared.Should().Be(0);
        machine.Ksm["merge_across_nodes"] = "1";
        Merge(machine);
        machine.Ksm.PagesShared.Should().Be(1);
        machine.Invoking(m => m.Ksm["merge_across_nodes"] = "0").Should().Throw<InvalidOperationException>().WithMessage("*EBUSY*");
        ReadAll(machine, two, second);
        machine.Verify();
    }

    [Fact]
    public void Huge_pages_are_split_to_be_merged()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("1G").WithPersonality(KernelLines.Linux6_18));
        Process one = machine.CreateProcess("huge");
        VirtualAddress area = one.Mm.Mmap(default, 8 << 20, Prot.Read | Prot.Write, MapFlags.Private | MapFlags.Anonymous);
        VirtualAddress aligned = new((area.Value + (2 << 20)) & ~((2UL << 20) - 1));
        one.Mm.Madvise(area, 8 << 20, MemoryAdvice.Mergeable).Should().Be(Errno.None);
        using (machine.Cpus[0].Run(one))
        {
            machine.Cpus[0].Write(aligned, 1);
        }

        one.Smaps.Should().Contain("AnonHugePages:      2048 kB");
        machine.Ksm.PagesToScan = 10_000;
        Merge(machine);

        one.Smaps.Should().NotContain("AnonHugePages:      2048 kB");
        machine.Ksm.PagesShared.Should().BeGreaterThan(0);
        (machine.Ksm.PagesSharing + machine.Ksm.PagesShared).Should().Be(511);
        machine.Verify();
    }

    [Fact]
    public void A_process_can_have_all_its_memory_merged_and_its_children_too()
    {
        using Machine machine = Boot();
        Process one = machine.CreateProcess("all", new Rlimits { IsAdmin = true });
        VirtualAddress before = one.Mm.Mmap(Pages * Page, Prot.Read | Prot.Write);
        one.SetMemoryMerge(true).Should().Be(Errno.None);
        VirtualAddress after = one.Mm.Mmap(Pages * Page, Prot.Read | Prot.Write);
        Fill(machine, one, before, 7);
        Fill(machine, one, after, 7);
        one.MemoryMerge.Should().BeTrue();
        Process child = one.Fork();
        Merge(machine);

        machine.Ksm.PagesSharing.Should().Be(31);
        child.KsmMergingPages.Should().Be(16);
        child.MemoryMerge.Should().BeTrue();
        child.SetMemoryMerge(false).Should().Be(Errno.None);
        child.Smaps.Should().NotContain(" mg");
        child.Smaps.Should().NotContain("KSM:                  32 kB");
        machine.CreateProcess("poor", new Rlimits { IsAdmin = false }).SetMemoryMerge(true).Should().Be(Errno.EPERM);
        child.Exec("new").Should().Be(Errno.None);
        child.MemoryMerge.Should().BeFalse();
        machine.Verify();
    }

    [Fact]
    public void Each_line_has_its_own_files_and_6_1_searches_before_it_looks_twice()
    {
        using Machine old = Machine.Boot(MachineSpec.X86_64("128M").WithPersonality(KernelLines.Linux6_1));
        using Machine now = Boot();

        old.Ksm.Files.Should().HaveCount(14).And.NotContain("smart_scan");
        now.Ksm.Files.Should().HaveCount(24).And.Contain(["advisor_mode", "general_profit", "smart_scan"]);
        old.Invoking(m => m.Ksm["smart_scan"]).Should().Throw<ArgumentException>();
        foreach (string file in now.Ksm.Files)
        {
            now.Ksm[file].Should().NotBeEmpty();
        }

        now.Invoking(m => m.Ksm["run"] = "3").Should().Throw<ArgumentException>();
        now.Invoking(m => m.Ksm["pages_shared"] = "3").Should().Throw<ArgumentException>();
        now.Invoking(m => m.Ksm["max_page_sharing"] = "1").Should().Throw<ArgumentException>();
        foreach ((Machine machine, int merged) in ((Machine, int)[])[(old, 9), (now, 8)])
        {
            _ = WithEqualPages(machine, out _);
            Merge(machine);
            Process late = machine.CreateProcess("late");
            VirtualAddress area = late.Mm.Mmap(Page, Prot.Read | Prot.Write);
            late.Mm.Madvise(area, Page, MemoryAdvice.Mergeable).Should().Be(Errno.None);
            Fill(machine, late, area, 7, 1);
            machine.Ksm.Scan(machine.Cpus[0]);
            (machine.Ksm.PagesShared + machine.Ksm.PagesSharing).Should().Be(merged);
            machine.Verify();
        }

        old.Processes.Single(p => p.Name == "late").SetMemoryMerge(true).Should().Be(Errno.EINVAL);
        old.Processes.Single(p => p.Name == "late").KsmStat.Should().Be("ksm_rmap_items 1\n");
    }

    [Fact]
    public void The_advisor_scans_faster_until_a_full_scan_takes_as_long_as_it_is_told_to()
    {
        const int many = 8_000;
        using Machine machine = Boot();
        Process process = machine.CreateProcess("many");
        VirtualAddress area = process.Mm.Mmap(many * Page, Prot.Read | Prot.Write);
        process.Mm.Madvise(area, many * Page, MemoryAdvice.Mergeable).Should().Be(Errno.None);
        Fill(machine, process, area, 7, many);
        machine.Ksm.Run = KsmRun.Run;
        machine.Ksm.SmartScan = false;
        machine.Ksm.Sleep = TimeSpan.FromMilliseconds(200);

        // Less than 10 % of the CPU it does not take, however soon it is through.
        machine.Ksm.PageTime = TimeSpan.FromMicroseconds(100);
        machine.Ksm["advisor_min_pages_to_scan"] = "50";
        machine.Ksm["advisor_target_scan_time"] = "5";

        machine.Ksm["advisor_mode"] = "scan-time\n";
        machine.Ksm["advisor_mode"].Should().Be("none [scan-time]");
        machine.Ksm.PagesToScan.Should().Be(50);
        machine.AdvanceTime(TimeSpan.FromMinutes(10));

        machine.Ksm.PagesToScan.Should().BeInRange(200, 450, "8,000 pages in some 25 turns");
        long scans = machine.Ksm.FullScans;
        machine.AdvanceTime(TimeSpan.FromMinutes(5));
        (300.0 / (machine.Ksm.FullScans - scans)).Should().BeInRange(4, 8);
        machine.Ksm.Invoking(ksm => ksm.PagesToScan = 100).Should().Throw<InvalidOperationException>();
        machine.Ksm.Advises = false;
        machine.Ksm.PagesToScan.Should().Be(100);
        machine.Verify();
    }

    [Fact]
    public void With_the_advisor_too_an_hour_in_which_nobody_writes_passes_quickly()
    {
        using Machine machine = Boot();
        _ = WithEqualPages(machine, out _);
        machine.Ksm.Run = KsmRun.Run;
        machine.Ksm.Advises = true;

        machine.AdvanceTime(TimeSpan.FromHours(10));

        machine.Ksm.FullScans.Should().Be(10 * 3600 * 50);
    }

    [Fact]
    public void A_snapshot_carries_the_trees()
    {
        using Machine machine = Boot();
        Process one = WithEqualPages(machine, out VirtualAddress area);
        machine.Ksm.UseZeroPages = true;
        machine.Ksm.MaxPageSharing = 3;
        Merge(machine);
        MachineSnapshot snapshot = machine.Snapshot(one);
        using Machine copy = snapshot.Boot(out IReadOnlyList<object> handles);

        foreach (Machine m in (Machine[])[machine, copy])
        {
            Process process = ReferenceEquals(m, machine) ? one : (Process)handles[0];
            Fill(m, process, area, 3, 2);
            Merge(m);
            m.Verify();
        }

        foreach (string file in machine.Ksm.Files)
        {
            copy.Ksm[file].Should().Be(machine.Ksm[file], file);
        }
    }

    private static Machine Boot() => Machine.Boot(MachineSpec.X86_64("128M").WithPersonality(KernelLines.Linux6_18));

    private static Process WithEqualPages(Machine machine, out VirtualAddress area)
    {
        Process process = machine.CreateProcess("equal");
        area = process.Mm.Mmap(Pages * Page, Prot.Read | Prot.Write);
        process.Mm.Madvise(area, Pages * Page, MemoryAdvice.Mergeable).Should().Be(Errno.None);
        Fill(machine, process, area, 7);
        return process;
    }

    private static void Fill(Machine machine, Process process, VirtualAddress area, int value, int pages = Pages)
    {
        using (machine.Cpus[0].Run(process))
        {
            for (int page = 0; page < pages; page++)
            {
                machine.Cpus[0].Write(area + (ulong)(page * Page), value);
            }
        }
    }

    private static void SwapOut(Machine machine, int merged)
    {
        // What was used since the last look stays at first.
        long freed = 0;
        for (int i = 0; i < 3 && freed == 0; i++)
        {
            machine.Lru.DrainAll();
            machine.Lru.Isolate(merged).Should().BeTrue();
            freed = machine.Lru.PageOut.ReclaimIsolated(machine.Cpus[0], [merged]);
        }

        freed.Should().Be(1);
    }

    private static void ReadAll(Machine machine, Process process, VirtualAddress area)
    {
        using (machine.Cpus[0].Run(process))
        {
            for (int page = 0; page < Pages; page++)
            {
                machine.Cpus[0].Read<int>(area + (ulong)(page * Page)).Should().Be(7);
            }
        }
    }

    private static void Merge(Machine machine)
    {
        machine.Ksm.Run = KsmRun.Run;
        for (int i = 0; i < 3; i++)
        {
            machine.Ksm.Scan(machine.Cpus[0]);
        }
    }
}
