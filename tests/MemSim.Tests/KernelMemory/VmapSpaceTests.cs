using FluentAssertions;
using MemSim.KernelMemory;
using Xunit;

namespace MemSim.Tests.KernelMemory;

/// <summary>The address allocator against a model that marks every page of a small window.</summary>
public class VmapSpaceTests
{
    private const ulong Start = 0xffff_c900_0000_0000;
    private const int Pages = 600;
    private const int Free = 0;
    private const int Busy = 1;
    private const int Aside = 2;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void It_gives_the_same_addresses_as_a_naive_map_of_pages(int seed)
    {
        Random random = new(seed);
        VmapSpace space = new(Start, Start + (Pages * PageGeometry.PageSize));
        int[] model = new int[Pages];
        List<(ulong Start, int Pages)> areas = [];
        int failures = 0;
        for (int step = 0; step < 4000; step++)
        {
            int what = random.Next(100);
            if (what < 52)
            {
                int pages = 1 + random.Next(random.Next(5) == 0 ? 80 : 6);
                int align = 1 << (random.Next(4) == 0 ? random.Next(5) : 0);
                int expected = LowestFit(model, pages, align);
                ulong got = space.Allocate((ulong)pages * PageGeometry.PageSize, 0, (ulong)align * PageGeometry.PageSize);
                got.Should().Be(expected < 0 ? 0 : AddressOf(expected), "step {0}", step);
                if (expected < 0)
                {
                    failures++;
                    continue;
                }

                model.AsSpan(expected, pages).Fill(Busy);
                areas.Add((got, pages));
            }
            else if (what < 98 && areas.Count != 0)
            {
                int index = random.Next(areas.Count);
                (ulong start, int pages) = areas[index];
                areas.RemoveAt(index);
                space.PutAside(start).Should().BeTrue();
                space.PutAside(start).Should().BeFalse("it is free already");
                model.AsSpan((int)((start - Start) / PageGeometry.PageSize), pages).Fill(Aside);
            }
            else if (what >= 98)
            {
                space.Purge();
                model.AsSpan().Replace(Aside, Free);
            }

            if (step % 50 == 0)
            {
                space.Check().Should().BeNull();
                space.LazyPages.Should().Be(model.Count(p => p == Aside));
                space.Free.Select(r => (r.Start, r.End)).Should().Equal(Runs(model, Free), "neighbours are merged");
                space.BusyCount.Should().Be(areas.Count);
            }
        }

        failures.Should().BePositive("the window must have been full at times");
    }

    [Fact]
    public void The_worker_has_cause_to_run_beyond_32_MiB_for_each_bit_of_the_cpu_count() =>
        new[] { 1, 2, 3, 4, 8, 255 }.Select(VmapSpace.MaxLazyPages).Should().Equal(8192, 16384, 16384, 24576, 32768, 65536);

    private static ulong AddressOf(int page) => Start + ((ulong)page * PageGeometry.PageSize);

    private static int LowestFit(int[] model, int pages, int align)
    {
        for (int at = 0; at + pages <= Pages; at += align)
        {
            if (!model.AsSpan(at, pages).ContainsAnyExcept(Free))
            {
                return at;
            }
        }

        return -1;
    }

    private static List<(ulong Start, ulong End)> Runs(int[] model, int kind)
    {
        List<(ulong Start, ulong End)> runs = [];
        for (int at = 0; at < Pages; at++)
        {
            int end = at;
            while (end < Pages && model[end] == kind)
            {
                end++;
            }

            if (end > at)
            {
                runs.Add((AddressOf(at), AddressOf(end)));
                at = end;
            }
        }

        return runs;
    }
}
