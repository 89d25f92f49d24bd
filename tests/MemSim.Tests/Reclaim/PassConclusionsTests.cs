using FluentAssertions;
using MemSim.Reclaim;
using MemSim.Statistics;
using Xunit;

namespace MemSim.Tests.Reclaim;

/// <summary>What a pass over the lists counts and tells, and what reclaim concludes from it: who waits, who goes on, which lists are refilled.</summary>
public sealed class PassConclusionsTests : IDisposable
{
    private readonly Machine _machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 1));
    private readonly RecordingSink _trace = new();

    public PassConclusionsTests() => _machine.Tracing.Attach(_trace);

    private Cpu Cpu => _machine.Cpus[0];

    private NodeCounters Counters => _machine.Nodes[0].Counters;

    private NodeReclaimState State => _machine.Reclaim.Vmscan.StateOf(_machine.Nodes[0]);

    public void Dispose() => _machine.Dispose();

    [Theory]
    [InlineData(32, true)]
    [InlineData(31, false)]
    public void Kswapd_waits_for_the_disk_when_all_it_took_is_being_written_and_pages_come_round_again(int underWriteback, bool waits)
    {
        FakeOwners owners = new(_machine);
        for (int i = 0; i < 32; i++)
        {
            owners.Read(Cpu, i < underWriteback ? PageFlags.Writeback : PageFlags.None);
        }

        Shrink(isKswapd: true);
        for (int i = 0; i < 8; i++)
        {
            owners.Read(Cpu, PageFlags.Writeback | PageFlags.Reclaim);
        }

        Shrink(isKswapd: true);

        _trace.Log.Contains("throttled Writeback").Should().Be(waits);
        _trace.Inactive.Sum(e => e.Immediate).Should().Be(waits ? 8 : 0);
        _trace.Inactive.Sum(e => e.Writeback).Should().Be(underWriteback + (waits ? 0 : 8));
        _trace.Inactive.Sum(e => e.Congested).Should().Be(8, "the others met reclaim for the first time");
    }

    [Fact]
    public void Pages_that_the_scan_of_the_inactive_list_makes_active_count_as_activated()
    {
        FakeOwners owners = new(_machine);
        for (int i = 0; i < 32; i++)
        {
            owners.Read(Cpu, PageFlags.Dirty);
        }

        Shrink(isKswapd: false);

        Counters.ActiveFile.Should().Be(32);
        _machine.Events[VmEvent.Activate].Should().Be(32);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void The_trace_of_isolation_says_whether_mapped_pages_are_left_alone(bool mayUnmap)
    {
        FakeOwners owners = new(_machine);
        owners.Read(Cpu);
        Shrink(isKswapd: false, sc => sc.MayUnmap = mayUnmap);

        _trace.Isolations.Should().NotBeEmpty().And.OnlyContain(e => e.UnmappedOnly == !mayUnmap);
    }

    [Fact]
    public void A_request_that_finds_nothing_down_to_the_last_but_one_priority_waits_for_others_to_make_progress()
    {
        _machine.Background.Mode = BackgroundWork.Manual;
        FakeOwners owners = new(_machine);
        while (owners.Read(Cpu, PageFlags.Dirty, Gfp.NoRetry) >= 0)
        {
        }

        _trace.Direct.Should().BePositive();
        _trace.Log.Should().Contain("throttled NoProgress");
    }

    [Fact]
    public void Reclaim_for_a_large_order_goes_on_until_compaction_has_room()
    {
        _machine.Background.Mode = BackgroundWork.Manual;
        FakeOwners owners = new(_machine);
        while (_trace.Direct == 0)
        {
            owners.Read(Cpu).Should().BeGreaterThanOrEqualTo(0);
        }

        ScanControl single = Shrink(isKswapd: false, sc => sc.Priority = 8);
        ScanControl large = Shrink(isKswapd: false, sc => (sc.Priority, sc.Order) = (8, 9));

        large.Reclaimed.Should().BeGreaterThan(2 * single.Reclaimed, "one pass was enough for single pages, not for a block of 512");
    }

    [Fact]
    public void Even_where_only_files_are_scanned_too_short_a_list_of_inactive_anonymous_pages_is_refilled()
    {
        FakeOwners owners = FilledWithActiveMemory();

        Shrink(isKswapd: false, sc => sc.Priority = 4);

        Counters.InactiveAnon.Should().BeInRange(1, ScanControl.ClusterPages);
        _machine.Events[VmEvent.ScanAnon].Should().Be(0);
        owners.Dropped.Should().NotBeEmpty();
    }

    [Fact]
    public void Before_kswapd_scans_it_looks_at_the_anonymous_lists_whatever_those_of_files_are_like()
    {
        _ = FilledWithActiveMemory();
        ScanControl sc = new();
        sc.Start(Gfp.Kernel, 0, 4, 32, isKswapd: true);

        new ListEngine(_machine, _machine.Reclaim.Vmscan).BeginAging(Cpu, State, sc);

        PageReclaim.InactiveIsLow(State.Lists, file: true).Should().BeFalse();
        Counters.InactiveAnon.Should().BeInRange(1, ScanControl.ClusterPages);
    }

    [Fact]
    public void Kswapd_woken_again_within_a_tenth_of_a_second_slept_too_short()
    {
        FakeOwners owners = new(_machine);
        while (_trace.Woken < 2)
        {
            owners.Read(Cpu).Should().BeGreaterThanOrEqualTo(0);
        }

        _machine.Events[VmEvent.KswapdLowWmarkHitQuickly].Should().Be(1);
        _machine.Clock.AdvanceTo(_machine.Clock.Nanoseconds + 1_000_000_000);
        while (_trace.Woken < 3)
        {
            owners.Read(Cpu).Should().BeGreaterThanOrEqualTo(0);
        }

        _machine.Events[VmEvent.KswapdLowWmarkHitQuickly].Should().Be(1);
    }

    [Fact]
    public void Only_zones_that_kswapd_was_woken_for_keep_short_per_cpu_lists()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("6G", cpus: 1));
        FlagSink flags = new(machine);
        FakeOwners owners = new(machine);
        machine.Tracing.Attach(flags);
        while (flags.Seen.Count == 0)
        {
            owners.ReadWith(machine.Cpus[0], Gfp.Kernel | Gfp.Movable | Gfp.Dma32).Should().BeGreaterThanOrEqualTo(0);
        }

        flags.Seen.Should().OnlyContain(seen => seen.Dma32 && !seen.Normal);
    }

    private FakeOwners FilledWithActiveMemory()
    {
        FakeOwners owners = new(_machine, swapPages: 1000);
        for (int i = 0; i < 4096; i++)
        {
            owners.Read(Cpu);
        }

        for (int i = 0; i < 1000; i++)
        {
            _machine.Lru.DrainAll();
            int pfn = owners.Touch(Cpu);
            _machine.Lru.DrainAll();
            _machine.Lru.MarkAccessed(Cpu, pfn);
            _machine.Lru.MarkAccessed(Cpu, pfn);
        }

        _machine.Lru.DrainAll();
        (Counters.ActiveAnon, Counters.InactiveAnon).Should().Be((1000, 0));
        return owners;
    }

    private ScanControl Shrink(bool isKswapd, Action<ScanControl>? change = null)
    {
        _machine.Lru.DrainAll();
        ScanControl sc = new();
        sc.Start(Gfp.Kernel, 0, 4, 32, isKswapd);
        sc.Priority = 0;
        change?.Invoke(sc);
        _machine.Reclaim.Vmscan.ShrinkNode(Cpu, State, sc);
        return sc;
    }

    private sealed class FlagSink(Machine machine) : IReclaimTraceSink
    {
        public List<(bool Dma32, bool Normal)> Seen { get; } = [];

        public void LruIsolate(Cpu cpu, in LruIsolateEvent e) => Seen.Add((Has(ZoneType.Dma32), Has(ZoneType.Normal)));

        private bool Has(ZoneType type) => (machine.Nodes[0].GetZone(type).Flags & ZoneFlags.ReclaimActive) != 0;
    }
}
