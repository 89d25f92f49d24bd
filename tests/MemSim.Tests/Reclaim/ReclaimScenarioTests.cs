using FluentAssertions;
using MemSim.Lru;
using MemSim.Reclaim;
using MemSim.Statistics;
using Xunit;

namespace MemSim.Tests.Reclaim;

/// <summary>Each mechanism of reclaim alone.</summary>
public sealed class ReclaimScenarioTests : IDisposable
{
    private readonly Machine _machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 1));
    private readonly RecordingSink _trace = new();

    public ReclaimScenarioTests() => _machine.Tracing.Attach(_trace);

    private Cpu Cpu => _machine.Cpus[0];

    private NodeCounters Counters => _machine.Nodes[0].Counters;

    private Zone Zone => _machine.Zones.Where(z => z.IsPopulated).MaxBy(z => z.ManagedPages)!;

    public void Dispose() => _machine.Dispose();

    [Fact]
    public void Kswapd_wakes_below_low_and_sleeps_above_high()
    {
        FakeOwners owners = new(_machine);
        ReadUntil(owners, () => _trace.Woken > 0);

        _trace.Log.Should().ContainInOrder("wakeup 0", "wake 0", "sleep");
        _machine.Zones.Any(z => z.ManagedPages != 0 && z.FreePages > z.GetWatermarkPages(Watermark.High)).Should().BeTrue();
        _trace.Direct.Should().Be(0, "kswapd was in time");
        _machine.Events[VmEvent.PageOutRun].Should().BeGreaterThan(0);
        _machine.Events[VmEvent.StealKswapd].Should().BeGreaterThan(0).And.Be(_machine.Events[VmEvent.StealFile]);
        owners.ShadowsLeft.Should().Be((int)_machine.Events[VmEvent.StealKswapd]);
        Counters.KswapdFailures.Should().Be(0);
        _machine.Verify();
    }

    [Fact]
    public void A_file_larger_than_memory_can_be_read_for_ever()
    {
        FakeOwners owners = new(_machine);
        long pages = 3 * _machine.Zones.Sum(z => z.ManagedPages);
        for (long i = 0; i < pages; i++)
        {
            owners.Read(Cpu).Should().BeGreaterThanOrEqualTo(0);
        }

        _machine.Reports.AllocationFailures.Should().Be(0);
        long stolen = _machine.Events[VmEvent.StealKswapd] + _machine.Events[VmEvent.StealDirect];
        stolen.Should().Be(pages - owners.Cached.Count);
        _machine.Events[VmEvent.ScanKswapd].Should().BeInRange(stolen / 2, stolen * 2);
        _machine.Verify();
    }

    [Fact]
    public void The_oldest_page_goes_first_and_an_accessed_one_stays()
    {
        FakeOwners owners = new(_machine);
        int oldest = owners.Read(Cpu);
        int used = owners.Read(Cpu);
        _machine.Lru.Drain(Cpu);
        _machine.Lru.MarkAccessed(Cpu, used);
        _machine.Lru.MarkAccessed(Cpu, used);
        bool DroppedHere(int pfn) => _machine.ZoneTable.ZoneOf(pfn) == _machine.ZoneTable.ZoneOf(oldest);
        ReadUntil(owners, () => owners.Dropped.Any(DroppedHere));

        owners.Dropped.First(DroppedHere).Should().Be(oldest);
        owners.Cached.Should().Contain(used);
        _machine.Frames.FlagsOf(used).Should().HaveFlag(PageFlags.Active);
    }

    [Theory]
    [InlineData(0, false, false, false)]
    [InlineData(1, false, true, false)]
    [InlineData(2, false, true, true)]
    [InlineData(1, true, true, true)]
    public void Use_of_a_mapped_page_decides_whether_it_goes_stays_or_becomes_active(int uses, bool executable, bool stays, bool active)
    {
        FakeOwners owners = new(_machine) { Executable = executable };
        int pfn = owners.Read(Cpu);
        owners.Map(pfn, uses);
        _machine.Lru.Drain(Cpu);
        ShrinkFileList(1);

        owners.Cached.Contains(pfn).Should().Be(stays);
        if (stays)
        {
            _machine.Frames.FlagsOf(pfn).HasFlag(PageFlags.Active).Should().Be(active);
            _machine.Frames.FlagsOf(pfn).Should().HaveFlag(PageFlags.Referenced);
        }

        _machine.Verify();
    }

    [Fact]
    public void Dirty_file_pages_are_left_to_the_flushers_which_are_woken()
    {
        FakeOwners owners = new(_machine);
        int flushes = 0;
        _machine.Reclaim.Vmscan.WakeFlushers = _ => flushes++;
        for (int i = 0; i < 32; i++)
        {
            owners.Read(Cpu, PageFlags.Dirty);
        }

        _machine.Lru.Drain(Cpu);
        ShrinkFileList(32).Should().Be(0);
        flushes.Should().Be(1);
        owners.Written.Should().BeEmpty();
        (Counters.ActiveFile, Counters.VmscanImmediateReclaim).Should().Be((32, 32));
        _trace.Inactive.Should().ContainSingle().Which.Should().Match<LruShrinkInactiveEvent>(e => e.Dirty == 32 && e.ActivatedFile == 32 && e.Reclaimed == 0);
        _machine.Verify();
    }

    [Fact]
    public void Pages_under_writeback_are_marked_and_come_back_when_it_ends()
    {
        FakeOwners owners = new(_machine);
        int pfn = owners.Read(Cpu, PageFlags.Writeback);
        _machine.Lru.Drain(Cpu);
        ShrinkFileList(1).Should().Be(0);
        _machine.Frames.FlagsOf(pfn).Should().HaveFlag(PageFlags.Reclaim | PageFlags.Active);
        _trace.Inactive[0].Writeback.Should().Be(1);
    }

    [Fact]
    public void Anonymous_pages_go_to_swap()
    {
        FakeOwners owners = new(_machine, swapPages: 100_000);
        for (int i = 0; i < 90_000; i++)
        {
            owners.Touch(Cpu).Should().BeGreaterThanOrEqualTo(0);
        }

        owners.SwappedOut.Should().BeGreaterThan(20_000);
        owners.Written.Should().HaveCountGreaterThanOrEqualTo(owners.SwappedOut);
        _machine.SystemFigures.SwapFreePages.Should().Be(100_000 - owners.Written.Count);
        _machine.Events[VmEvent.StealAnon].Should().Be(owners.SwappedOut);
        Counters.VmscanWrite.Should().Be(owners.Written.Count);
        _machine.Verify();
    }

    [Fact]
    public void Without_swap_anonymous_pages_are_not_even_scanned()
    {
        FakeOwners owners = new(_machine);
        while (owners.Touch(Cpu, Gfp.NoRetry) >= 0)
        {
        }

        (_machine.Events[VmEvent.ScanAnon], _machine.Events[VmEvent.StealAnon]).Should().Be((0, 0));
        _machine.Reports.AllocationFailures.Should().Be(1);
        Counters.KswapdFailures.Should().Be(16, "kswapd gives a node up after sixteen rounds without a page");
        Counters.IsUnreclaimable.Should().BeTrue();
        _machine.Verify();
    }

    [Fact]
    public void A_node_given_up_is_taken_up_again_when_direct_reclaim_frees_a_page()
    {
        FakeOwners owners = new(_machine);
        while (owners.Touch(Cpu, Gfp.NoRetry) >= 0)
        {
        }

        Counters.KswapdFailures.Should().Be(16);
        int woken = _trace.Woken;
        _machine.SystemFigures.SwapTotalPages = _machine.SystemFigures.SwapFreePages = 100_000;
        owners.Touch(Cpu).Should().BeGreaterThanOrEqualTo(0);
        _trace.Direct.Should().BeGreaterThan(0);
        Counters.KswapdFailures.Should().Be(0);
        owners.Touch(Cpu);
        _trace.Woken.Should().BeGreaterThan(woken);
    }

    [Fact]
    public void Direct_reclaim_begins_where_kswapd_does_not_keep_up()
    {
        _machine.Background.Mode = BackgroundWork.Manual;
        FakeOwners owners = new(_machine);
        ReadUntil(owners, () => _trace.Direct > 0);

        _trace.Log.Should().ContainInOrder("wakeup 0", "direct 0").And.Contain(e => e.StartsWith("reclaimed 3", StringComparison.Ordinal));
        Zone.FreePages.Should().BeLessThan(Zone.GetWatermark(Watermark.Low));
        _machine.Events[VmEvent.StealDirect].Should().BeGreaterThanOrEqualTo(32);
        _machine.Architecture.ZoneTypes.Sum(t => _machine.Events.AllocStalls(t)).Should().BeGreaterThan(0);
        _machine.Background.Run().Should().Be(1);
        _trace.Log.Should().Contain("sleep");
        _machine.Verify();
    }

    [Fact]
    public void Memory_that_only_lies_in_higher_zones_is_skipped_for_a_request_for_low_memory()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("6G", cpus: 1));
        FakeOwners owners = new(machine);
        machine.Background.Mode = BackgroundWork.Manual;
        int normal = owners.Read(machine.Cpus[0]);
        machine.ZoneTable.ZoneOf(normal)!.Type.Should().Be(ZoneType.Normal);
        machine.Lru.Drain(machine.Cpus[0]);
        ScanControl sc = new();
        sc.Start(Gfp.Kernel | Gfp.Dma32, 0, machine.Architecture.IndexOf(ZoneType.Dma32), 32, isKswapd: false);
        sc.Priority = 0;
        machine.Reclaim.Vmscan.ShrinkNode(machine.Cpus[0], machine.Reclaim.Vmscan.StateOf(machine.Nodes[0]), sc);
        sc.Reclaimed.Should().Be(0);
        LruManager.Isolation isolation = default;
        machine.Lru.IsolateFrom(machine.Lru.Of(machine.Nodes[0]), LruList.InactiveFile, 1, 1, true, new int[32], ref isolation).Should().Be(0);
        isolation.Skipped.Should().Be(1);
        machine.Events.Skips(ZoneType.Normal).Should().Be(1);
        machine.Verify();
    }

    [Fact]
    public void Swappiness_shares_the_scan_between_the_kinds_of_pages()
    {
        FakeOwners owners = new(_machine, swapPages: 1000);
        for (int i = 0; i < 8192; i++)
        {
            owners.Read(Cpu);
            owners.Touch(Cpu);
        }

        _machine.Lru.Drain(Cpu);
        Scan(60).Should().Be((4096 * 60 / 200, 4096 * 140 / 200));
        Scan(0).Should().Be((0, 4096));
        Scan(200).Should().Be((4096, 0));

        (long Anon, long File) Scan(int swappiness)
        {
            _machine.Sysctl.Set("swappiness", $"{swappiness}");
            ScanControl sc = new();
            sc.Start(Gfp.Kernel, 0, 4, 32, isKswapd: true);
            sc.Priority = 1;
            _machine.Reclaim.Vmscan.CountScan(_machine.Reclaim.Vmscan.StateOf(_machine.Nodes[0]), sc);
            return (sc.Left[0], sc.Left[2]);
        }
    }

    [Fact]
    public void What_one_kind_of_page_cost_lately_moves_the_scan_to_the_other()
    {
        FakeOwners owners = new(_machine, swapPages: 1000);
        for (int i = 0; i < 8192; i++)
        {
            owners.Read(Cpu);
            owners.Touch(Cpu);
        }

        _machine.Lru.Drain(Cpu);
        ScanControl sc = new();
        sc.Start(Gfp.Kernel, 0, 4, 32, isKswapd: true);
        sc.Priority = 1;
        sc.FileCost = 1000;
        _machine.Reclaim.Vmscan.CountScan(_machine.Reclaim.Vmscan.StateOf(_machine.Nodes[0]), sc);
        sc.Left[0].Should().BeGreaterThan(4096 * 40 / 100);
    }

    [Fact]
    public void Plenty_of_unused_cache_spares_anonymous_pages_and_hardly_any_spares_the_cache()
    {
        _machine.Background.Mode = BackgroundWork.Manual;
        FakeOwners owners = new(_machine, swapPages: 100_000);
        for (int i = 0; i < 4096; i++)
        {
            owners.Read(Cpu);
            owners.Touch(Cpu);
        }

        _machine.Lru.Drain(Cpu);
        Scan(2).Should().Be((0, 1024), "there is much cache that nobody uses");
        Scan(0).Should().Be((4096, 4096), "at the last priority all is equal");
        _machine.Sysctl.Set("swappiness", "0");
        Scan(0).Should().Be((0, 4096), "but for those who want no swapping");
        _machine.Sysctl.Set("swappiness", "60");
        while (_machine.Zones.Sum(z => z.TrueFreePages) > 600)
        {
            owners.Touch(Cpu, Gfp.High).Should().BeGreaterThanOrEqualTo(0);
        }

        _machine.Lru.Drain(Cpu);
        owners.Cached.Should().HaveCount(4096);
        _machine.Sysctl.Set("min_free_kbytes", "65536");
        (long anon, long file) = Scan(2);
        (anon, file).Should().Be((Counters.InactiveAnon >> 2, 0), "cache and free pages together are less than the high marks");

        (long Anon, long File) Scan(int priority)
        {
            ScanControl sc = new();
            sc.Start(Gfp.Kernel, 0, 4, 32, isKswapd: true);
            sc.Priority = priority;
            _machine.Reclaim.Vmscan.BeginPass(_machine.Reclaim.Vmscan.StateOf(_machine.Nodes[0]), sc);
            return (sc.Left[0], sc.Left[2]);
        }
    }

    [Theory]
    [InlineData(100, 100, false)]
    [InlineData(100, 101, true)]
    public void Below_a_gibibyte_half_of_the_pages_are_to_be_inactive(int inactive, int active, bool low)
    {
        FakeOwners owners = new(_machine);
        for (int i = 0; i < inactive + active; i++)
        {
            owners.Read(Cpu, i < active ? PageFlags.Active : PageFlags.None);
        }

        _machine.Lru.Drain(Cpu);
        (Counters.InactiveFile, Counters.ActiveFile).Should().Be((inactive, active));
        PageReclaim.InactiveIsLow(_machine.Lru.Of(_machine.Nodes[0]), file: true).Should().Be(low);
    }

    [Fact]
    public void Four_gibibytes_need_a_sixth_of_their_active_pages_inactive()
    {
        LruVec lists = _machine.Lru.Of(_machine.Nodes[0]);
        (Counters.InactiveFile, Counters.ActiveFile) = (150_000, 900_000);
        PageReclaim.InactiveIsLow(lists, file: true).Should().BeFalse("the square root of ten times four is six");
        Counters.InactiveFile--;
        PageReclaim.InactiveIsLow(lists, file: true).Should().BeTrue();
    }

    [Fact]
    public void Pages_that_had_to_be_written_are_a_cost_of_their_kind()
    {
        _machine.Background.Mode = BackgroundWork.Manual;
        FakeOwners owners = new(_machine, swapPages: 10_000);
        while (_trace.Direct == 0)
        {
            owners.Touch(Cpu).Should().BeGreaterThanOrEqualTo(0);
        }

        LruVec lists = _machine.Lru.Of(_machine.Nodes[0]);
        lists.AnonCost.Should().BePositive();
        lists.FileCost.Should().Be(0);
    }

    [Fact]
    public void An_inactive_list_that_is_short_is_refilled_from_the_active_one()
    {
        FakeOwners owners = new(_machine);
        ReadUntil(owners, () => _trace.Slept > 0, PageFlags.Active);
        _machine.Events[VmEvent.Deactivate].Should().BeGreaterThan(0);
        _machine.Events[VmEvent.Refill].Should().BeGreaterThan(0);
        _machine.Events[VmEvent.StealKswapd].Should().BeGreaterThan(0);
        _machine.Verify();
    }

    [Fact]
    public void The_textbook_view_shows_the_scan_of_a_zone()
    {
        FakeOwners owners = new(_machine);
        while (owners.Touch(Cpu, Gfp.NoRetry) >= 0)
        {
        }

        _machine.SystemFigures.SwapTotalPages = _machine.SystemFigures.SwapFreePages = 1_000_000;
        owners.WriteResult = PageOutOutcome.Activate;
        _ = owners.Touch(Cpu, Gfp.NoRetry);
        ZoneReclaimInfo info = _machine.Reclaim.Info(Zone);
        long pages = Zone.Counters.InactiveAnon + Zone.Counters.ActiveAnon;
        info.PagesScanned.Should().BeGreaterThan(pages / 2, "no page came of it");
        info.AllUnreclaimable.Should().Be(info.PagesScanned >= 6 * pages);
        (info.Priority, info.PreviousPriority).Should().Be((0, 0));
        (info.NrScanActive + info.NrScanInactive).Should().BeInRange(pages - 1000, pages + 1000, "the last scan was to look at all");
        (info.NrScanInactive > 0).Should().Be(Zone.Counters.InactiveAnon > 0);
        owners.WriteResult = PageOutOutcome.Success;
        owners.Touch(Cpu).Should().BeGreaterThanOrEqualTo(0);
        info = _machine.Reclaim.Info(Zone);
        info.PagesScanned.Should().BeLessThan(100, "a page was reclaimed");
        info.AllUnreclaimable.Should().BeFalse();
        _machine.Verify();
    }

    [Fact]
    public void The_same_calls_reclaim_the_same_pages()
    {
        string[] runs = [.. Enumerable.Range(0, 2).Select(_ => Run())];
        runs[0].Should().Be(runs[1]);

        static string Run()
        {
            using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2));
            FakeOwners owners = new(machine, 1000);
            for (int i = 0; i < 80_000; i++)
            {
                _ = i % 50 == 0 ? owners.Touch(machine.Cpus[i & 1]) : owners.Read(machine.Cpus[i & 1]);
            }

            machine.Verify();
            return machine.StateText() + machine.Proc.VmStat;
        }
    }

    [Fact]
    public void Reclaim_of_clean_pages_takes_nothing_from_the_managed_heap()
    {
        _machine.Tracing.Detach(_trace);
        ScanControl sc = new();
        FakeOwnersWithoutBooks owners = new(_machine);
        for (int i = 0; i < 20_000; i++)
        {
            owners.Read(Cpu);
        }

        NodeReclaimState state = _machine.Reclaim.Vmscan.StateOf(_machine.Nodes[0]);
        long before = _machine.Events[VmEvent.StealDirect];
        ManagedBytes.TakenBy(() =>
        {
            sc.Start(Gfp.Kernel, 0, 4, 2000, isKswapd: false);
            sc.Priority = 3;
            _machine.Reclaim.Vmscan.ShrinkNode(Cpu, state, sc);
        }).Should().Be(0);
        (_machine.Events[VmEvent.StealDirect] - before).Should().BeGreaterThan(1000);
        _machine.Verify();
    }

    private void ReadUntil(FakeOwners owners, Func<bool> done, PageFlags flags = PageFlags.None)
    {
        while (!done())
        {
            owners.Read(Cpu, flags).Should().BeGreaterThanOrEqualTo(0);
        }
    }

    private long ShrinkFileList(int pages)
    {
        ScanControl sc = new();
        sc.Start(Gfp.Kernel, 0, 4, pages, isKswapd: false);
        sc.Priority = 0;
        _machine.Reclaim.Vmscan.ShrinkNode(Cpu, _machine.Reclaim.Vmscan.StateOf(_machine.Nodes[0]), sc);
        return sc.Reclaimed;
    }
}
