using FluentAssertions;
using Microsoft.Extensions.Logging;
using Xunit;
using static MemSim.Tests.TestMachines;

namespace MemSim.Tests.PageAllocation;

/// <summary>What the slow path tries, in which order, told by a reclaim that records what it is asked.</summary>
public class SlowPathTests : MachineTests
{
    private readonly ScriptedReclaim _reclaim = new();
    private readonly ListLogger _log = new();

    private Machine Exhausted(int freeBlocks = 0, int order = 0, BugPolicy policy = BugPolicy.Throw)
    {
        MachineBuilder builder = With().FreeBlocks(order, freeBlocks, MigrateType.Unmovable).Watermarks(100, 125, 150).LoggingTo(_log).Bugs(policy);
        Machine machine = Boot(builder);
        machine.Reclaim.Policy = _reclaim;
        return machine;
    }

    [Fact]
    public void An_order0_request_wakes_kswapd_reclaims_and_then_calls_the_OOM_killer()
    {
        Machine machine = Exhausted();
        machine.Cpus[0].AllocPage(Gfp.Kernel).IsNull.Should().BeTrue();
        _reclaim.Calls.Should().Equal("kswapd", "kswapd", "reclaim", "oom");
    }

    [Fact]
    public void A_request_that_cannot_wait_only_wakes_kswapd()
    {
        Machine machine = Exhausted();
        machine.Cpus[0].AllocPages(Gfp.Atomic, 2).IsNull.Should().BeTrue();
        machine.Cpus[0].AllocPages(Gfp.None, 2).IsNull.Should().BeTrue();
        _reclaim.Calls.Should().Equal("kswapd", "kswapd");
    }

    [Fact]
    public void A_costly_order_compacts_before_it_reclaims_and_never_kills()
    {
        Machine machine = Exhausted();
        _reclaim.Compaction = CompactionOutcome.Complete;
        machine.Cpus[0].AllocPages(Gfp.Kernel, 4).IsNull.Should().BeTrue();
        _reclaim.Calls.Should().Equal("kswapd", "compact Async", "kswapd", "reclaim", "compact SyncLight");
    }

    [Fact]
    public void A_costly_request_that_gives_up_early_does_not_reclaim_when_compaction_could_not_even_try()
    {
        Machine machine = Exhausted();
        foreach (CompactionOutcome outcome in new[] { CompactionOutcome.Skipped, CompactionOutcome.Deferred })
        {
            _reclaim.Calls.Clear();
            _reclaim.Compaction = outcome;
            machine.Cpus[0].AllocPages(Gfp.Kernel | Gfp.NoRetry, 9).IsNull.Should().BeTrue();
            _reclaim.Calls.Should().Equal("kswapd", "compact Async");
        }

        _reclaim.Calls.Clear();
        _reclaim.Compaction = CompactionOutcome.Complete;
        machine.Cpus[0].AllocPages(Gfp.Kernel | Gfp.NoRetry, 9).IsNull.Should().BeTrue();
        _reclaim.Calls.Should().Equal("kswapd", "compact Async", "kswapd", "reclaim", "compact Async");
    }

    [Theory]
    [InlineData(Gfp.NoRetry)]
    [InlineData(Gfp.RetryMayFail)]
    [InlineData(Gfp.ThisNode)]
    [InlineData(Gfp.Dma)]
    public void These_requests_never_call_the_OOM_killer(Gfp extra)
    {
        Machine machine = Exhausted();
        machine.Cpus[0].AllocPage(Gfp.Kernel | extra).IsNull.Should().BeTrue();
        _reclaim.Calls.Should().NotContain("oom");
    }

    [Fact]
    public void Reclaim_without_progress_is_retried_as_long_as_it_could_still_help()
    {
        Machine machine = Exhausted();
        _reclaim.Reclaimable = 1000;
        machine.Cpus[0].AllocPage(Gfp.Kernel).IsNull.Should().BeTrue();
        _reclaim.Calls.Count(c => c == "reclaim").Should().Be(17, "16 rounds without progress are allowed");
        _reclaim.Calls[^1].Should().Be("oom");
    }

    [Fact]
    public void No_retry_means_one_round_of_reclaim()
    {
        Machine machine = Exhausted();
        _reclaim.Reclaimable = 1000;
        machine.Cpus[0].AllocPage(Gfp.Kernel | Gfp.NoRetry).IsNull.Should().BeTrue();
        _reclaim.Calls.Should().Equal("kswapd", "kswapd", "reclaim");
    }

    [Fact]
    public void What_reclaim_frees_is_allocated()
    {
        Machine machine = Exhausted(freeBlocks: 300);
        Cpu cpu = machine.Cpus[0];
        List<Page> held = cpu.AllocateAll(Gfp.MemAlloc);
        _reclaim.OnReclaim = () => held.GetRange(0, 150).ForEach(cpu.FreePage);
        cpu.AllocPage(Gfp.Kernel).IsNull.Should().BeFalse();
        _reclaim.Calls.Should().EndWith("reclaim");
    }

    [Fact]
    public void Pages_stuck_in_another_cpus_lists_are_drained_and_the_request_retried()
    {
        Machine machine = Boot(With().FreeBlocks(0, 40, MigrateType.Unmovable).Watermarks(10, 11, 12).Pcp(high: 200, batch: 30).CpusOnNodes(0, 0));
        machine.Reclaim.Policy = _reclaim;
        List<Page> held = machine.Cpus[0].AllocateAll(Gfp.MemAlloc);
        _reclaim.OnReclaim = () => held.ForEach(machine.Cpus[1].FreePage);
        machine.OnlyZone().TrueFreePages.Should().Be(0);
        machine.Cpus[0].AllocPage(Gfp.Kernel).IsNull.Should().BeFalse();
        machine.OnlyZone().Pageset(1).Count.Should().Be(0);
    }

    [Theory]
    [InlineData("6.1")]
    [InlineData("6.12")]
    public void Before_it_gives_up_a_request_gets_the_page_block_reserved_for_atomic_ones(string kernel)
    {
        Machine machine = Boot(With().Kernel(kernel).FreeBlocks(0, 100, MigrateType.Unmovable).FreeBlocks(4, 6, MigrateType.HighAtomic).HighAtomicReserved(512).Watermarks(100, 125, 150));
        machine.Reclaim.Policy = _reclaim;
        _reclaim.Reclaimable = 1000;
        Page page = machine.Cpus[0].AllocPage(Gfp.Kernel);
        page.IsNull.Should().BeFalse();
        _reclaim.Calls.Should().NotContain("oom");
        machine.OnlyZone().ReservedHighAtomicPages.Should().Be(0);
        machine.OnlyZone().FreeList(4, MigrateType.HighAtomic).Should().BeEmpty();
        machine.OnlyZone().FreeBlocks(4).Should().Be(6, "the block changed its kind, the smaller ones were taken from");
    }

    [Fact]
    public void After_a_kill_the_request_is_retried()
    {
        Machine machine = Exhausted(freeBlocks: 300);
        Cpu cpu = machine.Cpus[0];
        List<Page> held = cpu.AllocateAll(Gfp.MemAlloc);
        _reclaim.OnOutOfMemory = () =>
        {
            held.ForEach(cpu.FreePage);
            return true;
        };
        cpu.AllocPage(Gfp.Kernel).IsNull.Should().BeFalse();
        _reclaim.Calls.Should().Equal("kswapd", "kswapd", "reclaim", "oom", "kswapd");
    }

    [Fact]
    public void A_task_that_reclaims_itself_does_not_reclaim_again()
    {
        Machine machine = Exhausted();
        using ContextScope scope = machine.Cpus[0].Context.MemAlloc();
        machine.Cpus[0].AllocPage(Gfp.Kernel).IsNull.Should().BeTrue();
        _reclaim.Calls.Should().NotContain("reclaim").And.NotContain("oom");
    }

    [Fact]
    public void An_OOM_victim_that_finds_nothing_in_the_reserves_fails()
    {
        Machine machine = Exhausted();
        _reclaim.OnOutOfMemory = () => true;
        using ContextScope running = machine.Cpus[0].Run(new KernelTask("victim", 9) { Flags = TaskFlags.OomVictim });
        machine.Cpus[0].AllocPage(Gfp.Kernel).IsNull.Should().BeTrue();
    }

    [Fact]
    public void No_fail_goes_into_the_reserves_and_keeps_trying_until_reclaim_helps()
    {
        Machine machine = Exhausted(freeBlocks: 60);
        Cpu cpu = machine.Cpus[0];
        cpu.AllocPage(Gfp.Kernel | Gfp.NoWarn).IsNull.Should().BeTrue();
        cpu.AllocPage(Gfp.Kernel | Gfp.NoFail).IsNull.Should().BeFalse("60 pages are above half of min");
        List<Page> held = cpu.AllocateAll(Gfp.MemAlloc);
        int rounds = 0;
        _reclaim.OnReclaim = () =>
        {
            if (++rounds == 5)
            {
                held.ForEach(cpu.FreePage);
            }
        };
        cpu.AllocPage(Gfp.Kernel | Gfp.NoFail).IsNull.Should().BeFalse();
        rounds.Should().Be(5);
    }

    [Fact]
    public void No_fail_without_any_hope_is_a_deadlock_and_does_not_hang()
    {
        KernelBugException bug = Assert.Throws<KernelBugException>(() => Exhausted().Cpus[0].AllocPage(Gfp.Kernel | Gfp.NoFail));
        bug.Kind.Should().Be(KernelBugKind.Deadlock);
        Machine logging = Exhausted(policy: BugPolicy.Log);
        logging.Cpus[0].AllocPage(Gfp.Kernel | Gfp.NoFail).IsNull.Should().BeTrue();
        _log.Entries.Should().Contain(e => e.Level == LogLevel.Critical && e.Text.Contains("deadlocked"));
    }

    [Fact]
    public void A_failure_is_reported_in_the_kernels_words_and_NoWarn_keeps_quiet()
    {
        Machine machine = Exhausted();
        using (machine.Cpus[0].Run(new KernelTask("modprobe", 200)))
        {
            machine.Cpus[0].AllocPages(Gfp.Atomic | Gfp.Zero, 3).IsNull.Should().BeTrue();
        }

        machine.Reports.LastAllocationFailure.Should().StartWith("modprobe: page allocation failure: order:3, mode:0xb20(GFP_ATOMIC|__GFP_ZERO), nodemask=(null),cpuset=/,mems_allowed=0");
        _log.Entries.Should().ContainSingle().Which.Level.Should().Be(LogLevel.Warning);
        machine.Cpus[0].AllocPages(Gfp.Atomic | Gfp.NoWarn, 3).IsNull.Should().BeTrue();
        _log.Entries.Should().ContainSingle();
        machine.Reports.AllocationFailures.Should().Be(2);
    }

    [Fact]
    public void The_request_that_reclaim_sees_is_the_one_made()
    {
        Machine machine = Exhausted();
        machine.Cpus[0].AllocPages(Gfp.HighUserMovable | Gfp.NoWarn, 2);
        _reclaim.Last.Order.Should().Be(2);
        _reclaim.Last.Gfp.Should().HaveFlag(Gfp.HighUserMovable);
        _reclaim.Last.Cpu.Should().BeSameAs(machine.Cpus[0]);
        _reclaim.Last.HighestZoneIndex.Should().Be(3);
    }
}

/// <summary>Records what it is asked and answers as told.</summary>
internal sealed class ScriptedReclaim : IReclaim
{
    public List<string> Calls { get; } = [];

    public CompactionOutcome Compaction { get; set; } = CompactionOutcome.Skipped;

    public long Reclaimable { get; set; }

    public Action? OnReclaim { get; set; }

    public Func<bool>? OnOutOfMemory { get; set; }

    public ReclaimRequest Last { get; private set; }

    public void WakeKswapd(Zone zone, in ReclaimRequest request) => Calls.Add("kswapd");

    public long DirectReclaim(in ReclaimRequest request)
    {
        Calls.Add("reclaim");
        Last = request;
        OnReclaim?.Invoke();
        return OnReclaim is null ? 0 : 1;
    }

    public CompactionOutcome Compact(in ReclaimRequest request, CompactionPriority priority)
    {
        Calls.Add($"compact {priority}");
        return Compaction;
    }

    public long ReclaimablePages(Zone zone) => Reclaimable;

    public bool OutOfMemory(in ReclaimRequest request)
    {
        Calls.Add("oom");
        return OnOutOfMemory?.Invoke() ?? false;
    }
}
