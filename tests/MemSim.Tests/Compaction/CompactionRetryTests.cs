using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Compaction;

/// <summary>What the slow path makes of the outcomes of compaction (<c>should_compact_retry()</c>).</summary>
public class CompactionRetryTests : MachineTests
{
    private const CompactionPriority Async = CompactionPriority.Async;
    private const CompactionPriority Light = CompactionPriority.SyncLight;
    private const CompactionPriority Full = CompactionPriority.SyncFull;

    [Fact]
    public void A_zone_searched_in_vain_is_searched_harder_and_then_given_up()
    {
        Ask(CompactionOutcome.Complete).Should().Equal(Async, Light, Full);
    }

    [Theory]
    [InlineData(CompactionOutcome.PartialSkipped)]
    [InlineData(CompactionOutcome.Contended)]
    [InlineData(CompactionOutcome.Deferred)]
    public void A_search_that_broke_off_is_repeated_at_a_higher_priority(CompactionOutcome outcome)
    {
        Ask(outcome).Should().Equal(Async, Light, Full);
    }

    [Fact]
    public void A_costly_request_that_may_fail_stops_before_the_whole_zone_is_gone_through()
    {
        Ask(CompactionOutcome.Complete, 9, Gfp.RetryMayFail).Should().Equal(Async, Light);
    }

    [Fact]
    public void A_block_that_somebody_else_took_is_made_again_sixteen_times_at_each_priority()
    {
        List<CompactionPriority> runs = Ask(CompactionOutcome.Success);

        runs.Should().HaveCount(1 + 17 + 17).And.BeInDescendingOrder();
        runs.Count(priority => priority == Light).Should().Be(17);
        Ask(CompactionOutcome.Success, 9, Gfp.RetryMayFail).Should().HaveCount(1 + 5, "a costly order is worth a quarter of it");
    }

    [Fact]
    public void Without_room_to_compact_it_goes_on_while_reclaim_could_make_room()
    {
        Ask(CompactionOutcome.Skipped, reclaimable: 1_000_000, rounds: 3).Should().Equal(Async, Light, Light, Light, Light);
        Ask(CompactionOutcome.Skipped, reclaimable: 0).Should().Equal(Async, Light);
    }

    /// <summary>Asks for a block on a full machine whose compaction always ends in the same way.</summary>
    private List<CompactionPriority> Ask(CompactionOutcome outcome, int order = 3, Gfp flags = Gfp.None, long reclaimable = 0, int rounds = int.MaxValue)
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        cpu.AllocateAll(Gfp.NoWait);
        machine.Memory.DrainAllPages();
        cpu.AllocateAll(Gfp.Atomic);
        Scripted script = new(outcome, reclaimable, rounds);
        machine.Reclaim.Policy = script;

        cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn | flags, order).IsNull.Should().BeTrue();

        return script.Runs;
    }

    private sealed class Scripted(CompactionOutcome outcome, long reclaimable, int rounds) : IReclaim
    {
        private int _reclaims;

        public List<CompactionPriority> Runs { get; } = [];

        public void WakeKswapd(Zone zone, in ReclaimRequest request)
        {
        }

        public long DirectReclaim(in ReclaimRequest request)
        {
            _reclaims++;
            return 1;
        }

        public CompactionOutcome Compact(in ReclaimRequest request, CompactionPriority priority)
        {
            Runs.Add(priority);
            return outcome;
        }

        public long ReclaimablePages(Zone zone) => _reclaims <= rounds ? reclaimable : 0;

        public bool OutOfMemory(in ReclaimRequest request) => false;
    }
}
