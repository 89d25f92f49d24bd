using FluentAssertions;
using MemSim.Recordings.Replay;
using Xunit;

namespace MemSim.Tests.Recordings.Replay;

public sealed class FrameMapTests
{
    [Fact]
    public void A_map_of_frames_holds_what_a_dictionary_holds()
    {
        FrameMap<int> map = new(-7);
        Dictionary<int, int> expected = [];
        Random random = new(5);
        int[] bases = [-1, 0, 511, 512, 1 << 20, int.MaxValue - 3];
        for (int i = 0; i < 10_000; i++)
        {
            int pfn = bases[random.Next(bases.Length)];
            pfn = pfn < 0 ? pfn : pfn + random.Next(4);
            map[pfn].Should().Be(expected.GetValueOrDefault(pfn, -7));
            map[pfn] = expected[pfn] = i;
            map.At(pfn).Should().Be(i);
        }
    }
}
