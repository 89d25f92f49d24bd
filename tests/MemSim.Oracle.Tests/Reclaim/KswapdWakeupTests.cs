using FluentAssertions;
using MemSim.Oracle.Tests.Replay;
using MemSim.Recordings;
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
        using TraceReplay replay = TraceReplay.Open(ReplayData.Trace(name));
        replay.Run().KswapdWakeups.Should().Be(new TraceKswapdWakeups(recorded, recorded));
    }
}
