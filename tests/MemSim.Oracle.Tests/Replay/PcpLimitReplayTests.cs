using FluentAssertions;
using MemSim.Recordings;
using MemSim.Zones;
using Xunit;

namespace MemSim.Oracle.Tests.Replay;

/// <summary>Recorded drains show that limits of per-CPU lists come down with time: by how much, and when.</summary>
public sealed class PcpLimitReplayTests
{
    [Theory]
    [InlineData("amd64k70-256M-smp1-fork", 25)]
    public void Each_drain_by_an_update_of_counters_is_of_as_many_pages_as_the_rule_says(string trace, int drains)
    {
        using TraceReplay replay = TraceReplay.Open(ReplayData.Trace(trace));

        TraceReplayResult result = replay.Run();

        (result.StatDrains, result.StatDrainsAsRecorded).Should().Be((drains, drains));
        result.LimitsCorrected.Should().Be(0);
        result.ExplicitDrains.Should().Be(13, "drains of frees follow from the limits");
    }

    [Theory]
    [InlineData("amd64k73-256M-smp1-oom", 36_190, 0, 1)]
    [InlineData("amd64k73-256M-smp1-tmpfs", 5_264, 0, 0)]
    public void Once_the_limit_is_known_frees_drain_as_recorded(string trace, int recorded, int askedFor, int corrected)
    {
        using TraceReplay replay = TraceReplay.Open(ReplayData.Trace(trace));

        TraceReplayResult result = replay.Run();

        TraceEventCount drains = result.Events.Single(e => e.Name == "mm_page_pcpu_drain");
        (drains.Recorded, drains.Replayed).Should().Be((recorded, recorded - askedFor));
        (result.ExplicitDrains, result.LimitsCorrected).Should().Be((askedFor, corrected));
        result.Share.Should().BeGreaterThanOrEqualTo(0.9998);
        replay.Machine!.Verify();
    }

    [Fact]
    public void At_the_end_the_limit_is_the_recorded_one()
    {
        using TraceReplay replay = TraceReplay.Open(ReplayData.Trace("amd64k70-256M-smp1-fork"));
        replay.Run();

        // after-mmlists: pcp 0 DMA32 cpu 0 count 576 high 576; the recorder's write to vm.stat_refresh lowered it once more.
        PerCpuPages pcp = replay.Machine!.Cpus[0].Lists.HomePcp;
        (pcp.Count, pcp.High).Should().Be((576, 576));
    }
}
