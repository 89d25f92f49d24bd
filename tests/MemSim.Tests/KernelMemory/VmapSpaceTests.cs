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

    [Theory]
    [InlineData(0, 1)]
    [InlineData(1, 2)]
    public void Neighbours_that_were_put_aside_are_one_range_before_6_9_and_stay_apart_since(int nodes, int ranges)
    {
        VmapSpace space = new(Start, AddressOf(Pages), nodes);
        ulong first = space.Allocate(2 * PageGeometry.PageSize);
        ulong second = space.Allocate(3 * PageGeometry.PageSize);
        space.PutAside(second);
        space.PutAside(first);
        space.Aside.Should().HaveCount(ranges);
        space.LazyPages.Should().Be(5);
        space.Purge();
        space.Free.Should().ContainSingle("both kernels give neighbours back as one");
    }

    [Fact]
    public void A_flushed_range_waits_in_the_pool_of_the_cpu_that_asked_for_it()
    {
        VmapSpace space = new(Start, AddressOf(Pages), nodes: 2);
        ulong bytes = 2 * PageGeometry.PageSize;
        ulong first = space.Allocate(bytes, cpu: 1);
        ulong second = space.Allocate(bytes, cpu: 1);
        space.PutAside(first);
        space.PutAside(second);
        space.Purge();

        space.Pooled.Select(r => r.Start).Should().Equal(first, second);
        space.Check().Should().BeNull();
        space.Allocate(bytes, cpu: 0).Should().Be(AddressOf(4), "the pool of another CPU is not asked");
        space.Allocate(bytes + PageGeometry.PageSize, cpu: 1).Should().Be(AddressOf(6), "another length is another list");
        space.Allocate(bytes, cpu: 1).Should().Be(second, "the last of a flush is the first to be taken");
        space.PutAside(second);
        space.Purge();
        space.Allocate(bytes, cpu: 1).Should().Be(second, "it went back to the pool it came from");
    }

    [Fact]
    public void Each_flush_gives_a_quarter_of_a_pool_to_everybody_and_an_exhausted_window_all_of_it()
    {
        VmapSpace space = new(Start, AddressOf(Pages), nodes: 2);
        ulong[] areas = [.. Enumerable.Range(0, 12).Select(_ => space.Allocate(2 * PageGeometry.PageSize))];
        Array.ForEach(areas, a => space.PutAside(a));
        space.Purge();
        space.Pooled.Should().HaveCount(12);

        space.Purge();
        space.Pooled.Select(r => r.Start).Should().Equal(areas[..9], "the front of the list, which came last, goes first");
        space.Allocate(6 * PageGeometry.PageSize).Should().Be(areas[9]);
        space.Purge(emptyPools: true);
        space.Pooled.Should().BeEmpty();
        space.Check().Should().BeNull();
    }

    [Fact]
    public void A_pool_hands_out_aligned_ranges_only_and_keeps_none_beyond_a_mebibyte()
    {
        VmapSpace space = new(Start, AddressOf(Pages), nodes: 2);
        space.Allocate(PageGeometry.PageSize);
        ulong odd = space.Allocate(2 * PageGeometry.PageSize);
        ulong even = space.Allocate(2 * PageGeometry.PageSize, align: 2 * PageGeometry.PageSize);
        ulong large = space.Allocate(257 * PageGeometry.PageSize);
        space.PutAside(large);
        space.PutAside(even);
        space.PutAside(odd);
        space.Purge();
        space.Pooled.Select(r => r.Start).Should().Equal(odd, even);
        space.Allocate(257 * PageGeometry.PageSize, cpu: 1).Should().Be(large, "257 pages are too long for a pool");

        space.Allocate(2 * PageGeometry.PageSize, align: 2 * PageGeometry.PageSize).Should().Be(even);
        space.PutAside(even);
        space.Purge();
        space.Allocate(2 * PageGeometry.PageSize).Should().Be(even);
        space.Allocate(2 * PageGeometry.PageSize, align: 2 * PageGeometry.PageSize).Should().NotBe(odd, "only the front is looked at, and must be aligned");
        space.Check().Should().BeNull();
    }

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
