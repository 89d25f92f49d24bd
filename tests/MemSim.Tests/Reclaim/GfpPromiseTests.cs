using FluentAssertions;
using MemSim.Reclaim;
using MemSim.Statistics;
using Xunit;

namespace MemSim.Tests.Reclaim;

/// <summary>What the flags of a request promise when memory is really short: who sleeps, who writes, who dips into reserves, who gives up, who kills.</summary>
public sealed class GfpPromiseTests : IDisposable
{
    private readonly Machine _machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 1));
    private readonly RecordingSink _trace = new();

    public GfpPromiseTests()
    {
        _machine.Background.Mode = BackgroundWork.Manual;
        _machine.Sysctl.Set("watermark_boost_factor", "0");
        _machine.Tracing.Attach(_trace);
    }

    private Cpu Cpu => _machine.Cpus[0];

    public void Dispose() => _machine.Dispose();

    [Theory]
    [InlineData(Gfp.Atomic, false)]
    [InlineData(Gfp.NoWait, false)]
    [InlineData(Gfp.NoIo, true)]
    [InlineData(Gfp.NoFs, true)]
    [InlineData(Gfp.Kernel, true)]
    [InlineData(Gfp.Kernel | Gfp.NoRetry, true)]
    [InlineData(Gfp.Kernel | Gfp.NoFail, true)]
    public void Only_requests_that_may_sleep_reclaim_for_themselves(Gfp gfp, bool reclaims)
    {
        FillWithCache(new FakeOwners(_machine));
        _trace.Log.Clear();
        int direct = _trace.Direct;
        Page page = Cpu.AllocPage(gfp | Gfp.NoWarn);
        (_trace.Direct > direct).Should().Be(reclaims);
        (!page.IsNull).Should().Be(reclaims || gfp == Gfp.Atomic, "an atomic request has the reserve, and one that neither waits nor has rights fails");
    }

    [Fact]
    public void A_request_that_must_not_reclaim_does_not_even_wake_kswapd_without_its_flag()
    {
        FillWithCache(new FakeOwners(_machine));
        long wakeups = _machine.Nodes[0].KswapdWakeups;
        Cpu.AllocPage(Gfp.None | Gfp.NoWarn).IsNull.Should().BeTrue();
        _machine.Nodes[0].KswapdWakeups.Should().Be(wakeups);
        _ = Cpu.AllocPage(Gfp.NoWait | Gfp.NoWarn);
        _machine.Nodes[0].KswapdWakeups.Should().BeGreaterThan(wakeups);
    }

    [Theory]
    [InlineData(Gfp.Kernel, true)]
    [InlineData(Gfp.NoFs, true)]
    [InlineData(Gfp.NoIo, false)]
    public void Anonymous_pages_are_swapped_only_by_those_who_may_do_io(Gfp gfp, bool swaps)
    {
        FakeOwners owners = new(_machine);
        while (owners.Touch(Cpu, Gfp.NoRetry) >= 0)
        {
        }

        _machine.SystemFigures.SwapTotalPages = _machine.SystemFigures.SwapFreePages = 10_000;
        Page page = Cpu.AllocPage(gfp | Gfp.NoRetry | Gfp.NoWarn);
        (!page.IsNull).Should().Be(swaps);
        (owners.Written.Count > 0).Should().Be(swaps);
        _machine.Verify();
    }

    [Fact]
    public void A_task_scope_takes_the_right_to_io_away()
    {
        FakeOwners owners = new(_machine);
        while (owners.Touch(Cpu, Gfp.NoRetry) >= 0)
        {
        }

        _machine.SystemFigures.SwapTotalPages = _machine.SystemFigures.SwapFreePages = 10_000;
        using (Cpu.Context.MemAllocNoIo())
        {
            Cpu.AllocPage(Gfp.Kernel | Gfp.NoRetry | Gfp.NoWarn).IsNull.Should().BeTrue();
        }

        owners.Written.Should().BeEmpty();
        Cpu.AllocPage(Gfp.Kernel).IsNull.Should().BeFalse();
        owners.Written.Should().NotBeEmpty();
    }

    [Fact]
    public void A_reclaimer_never_reclaims_again_but_takes_the_last_page()
    {
        FakeOwners owners = new(_machine);
        while (owners.Touch(Cpu, Gfp.NoRetry) >= 0)
        {
        }

        int direct = _trace.Direct;
        using (Cpu.Context.MemAlloc())
        {
            List<Page> reserve = Cpu.AllocateAll(Gfp.Kernel);
            reserve.Should().HaveCountGreaterThan((int)_machine.Zones.Sum(z => z.GetWatermark(Watermark.Min)) / 2);
            _machine.Zones.Sum(z => z.TrueFreePages).Should().BeLessThan(10);
        }

        _trace.Direct.Should().Be(direct);
    }

    [Fact]
    public void Who_may_give_up_gives_up_after_one_round_and_nobody_is_killed()
    {
        FakeOwners owners = new(_machine);
        Killer killer = new(_ => false);
        _machine.Reclaim.Vmscan.OomKiller = killer;
        while (owners.Touch(Cpu, Gfp.NoRetry) >= 0)
        {
        }

        int direct = _trace.Direct;
        Cpu.AllocPage(Gfp.Kernel | Gfp.NoRetry | Gfp.NoWarn).IsNull.Should().BeTrue();
        _trace.Direct.Should().Be(direct + 1);
        Cpu.AllocPage(Gfp.Kernel | Gfp.RetryMayFail | Gfp.NoWarn).IsNull.Should().BeTrue();
        _trace.Direct.Should().BeGreaterThan(direct + 1);
        Cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn, 4).IsNull.Should().BeTrue("costly orders are worth no process");
        killer.Asked.Should().Be(0);
        Cpu.AllocPage(Gfp.Kernel | Gfp.NoWarn).IsNull.Should().BeTrue();
        killer.Asked.Should().Be(1);
    }

    [Fact]
    public void A_request_that_must_not_fail_waits_for_the_oom_killer_to_free_something()
    {
        FakeOwners owners = new(_machine);
        while (owners.Touch(Cpu, Gfp.NoRetry) >= 0)
        {
        }

        using (Cpu.Context.MemAlloc())
        {
            _ = Cpu.AllocateAll(Gfp.Kernel);
        }

        Killer killer = new(request => Kill(owners, request.Cpu));
        _machine.Reclaim.Vmscan.OomKiller = killer;
        Cpu.AllocPage(Gfp.Kernel | Gfp.NoFail).IsNull.Should().BeFalse();
        killer.Asked.Should().BePositive();
        _machine.Verify();
    }

    [Fact]
    public void Costly_orders_are_reclaimed_for_once_and_then_fail()
    {
        FakeOwners owners = new(_machine);
        FillWithCache(owners);
        int direct = _trace.Direct;
        _ = Cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn, 9);
        _trace.Direct.Should().Be(direct + 1);
        _trace.Log.Should().Contain("wakeup 0");
    }

    [Fact]
    public void Direct_reclaim_is_held_back_while_the_reserve_is_nearly_used_up()
    {
        FillWithCache(new FakeOwners(_machine));
        using (Cpu.Context.MemAlloc())
        {
            _ = Cpu.AllocateAll(Gfp.Kernel);
        }

        _machine.Events[VmEvent.ScanDirectThrottle].Should().Be(0);
        Cpu.AllocPage(Gfp.Kernel).IsNull.Should().BeFalse();
        _machine.Events[VmEvent.ScanDirectThrottle].Should().BePositive();
        _machine.Background.Run().Should().Be(1, "kswapd was woken");
        _machine.Verify();
    }

    [Fact]
    public void Node_reclaim_frees_unmapped_cache_before_a_farther_node_is_used()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("1G", cpus: 2).WithNodes("512M", "512M"));
        machine.Background.Mode = BackgroundWork.Manual;
        FakeOwners owners = new(machine);
        machine.Sysctl.Set("zone_reclaim_mode", "1");
        long home = machine.Nodes[0].Zones.Sum(z => z.ManagedPages);
        for (long i = 0; i < home * 3 / 2; i++)
        {
            owners.Read(machine.Cpus[0]).Should().BeGreaterThanOrEqualTo(0);
        }

        machine.Nodes[1].Counters.InactiveFile.Should().BeLessThan(home / 50);
        machine.Events[VmEvent.StealDirect].Should().BeGreaterThan(home / 3);
        machine.Verify();
    }

    private void FillWithCache(FakeOwners owners)
    {
        while (owners.Read(Cpu, gfp: Gfp.NoRetry) >= 0 && _trace.Direct == 0)
        {
        }

        // Down to the min watermark: what a request with rights leaves to those without.
        _ = Cpu.AllocateAll(Gfp.NoWait);
        _machine.Lru.Drain(Cpu);
    }

    private bool Kill(FakeOwners owners, Cpu cpu)
    {
        foreach (int pfn in owners.Mapped.Take(100).ToList())
        {
            owners.Mapped.Remove(pfn);
            _machine.Frames.Array[pfn].InvertedMapCount++;
            _machine.Lru.Put(cpu, pfn);
        }

        return true;
    }

    private sealed class Killer(Func<ReclaimRequest, bool> kill) : IOomKiller
    {
        public int Asked { get; private set; }

        public bool OutOfMemory(in ReclaimRequest request)
        {
            Asked++;
            return kill(request);
        }

        public bool OutOfMemory(Cpu cpu, Cgroup cgroup, Gfp gfp, int order) => false;
    }
}
