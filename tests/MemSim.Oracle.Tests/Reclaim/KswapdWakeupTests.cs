using FluentAssertions;
using MemSim.Observability.Replay;
using MemSim.Oracle.Tests.Replay;
using Xunit;

namespace MemSim.Oracle.Tests.Reclaim;

/// <summary>When real kernels woke kswapd, the replayed allocator does.</summary>
public sealed class KswapdWakeupTests
{
    [Theory]
    [InlineData("amd64-1G-smp1-hogswap2-zram", 1)]
    [InlineData("i386-1G-smp1-oom", 1)]
    [InlineData("amd64-1G-smp1-sort", 0)]
    public void Kswapd_is_woken_as_often_as_recorded(string name, int recorded)
    {
        (long woken, long found) = Replay(ReplayData.Trace(name));
        found.Should().Be(recorded);
        woken.Should().Be(recorded);
    }

    internal static (long Woken, long Recorded) Replay(string path)
    {
        using TraceReplay replay = TraceReplay.Open(path);
        KswapdWakeups wakeups = new(replay.Machine!);
        TraceReplayResult result = replay.Run();
        return (wakeups.Woken, result.Events.Where(e => e.Name.EndsWith("mm_vmscan_wakeup_kswapd", StringComparison.Ordinal)).Sum(e => e.Recorded));
    }
}
