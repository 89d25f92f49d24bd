using FluentAssertions;
using MemSim.KernelMemory;
using Xunit;

namespace MemSim.Tests.KernelMemory;

public class PerCpuChunkTests
{
    [Fact]
    public void The_largest_free_run_is_known_after_every_step()
    {
        PerCpuChunk chunk = new(0, 2 * PageGeometry.PageSize, cpus: 1);
        chunk.Populate(0, [1]);
        chunk.Populate(1, [2]);
        List<int> live = [];
        ulong random = 88172645463325252;
        for (int i = 0; i < 4000; i++)
        {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            int value = (int)(random >> 40);
            if ((value & 7) < 5)
            {
                int bits = 1 + ((value >> 3) % ((value & 8) != 0 ? 600 : 40));
                int at = chunk.Find(bits, 1 << ((value >> 13) % 11), populatedOnly: true);
                if (at >= 0)
                {
                    chunk.Take(at, bits);
                    chunk.AreaBits(at).Should().Be(bits);
                    live.Add(at);
                }
            }
            else if (live.Count != 0)
            {
                int index = value % live.Count;
                chunk.Return(live[index], chunk.AreaBits(live[index]));
                chunk.AreaBits(live[index]).Should().Be(0);
                live.RemoveAt(index);
            }

            chunk.Check().Should().BeNull("step {0}", i);
        }
    }
}
