using FluentAssertions;
using MemSim.PageCache;
using MemSim.Tests.Filesystems;
using Xunit;

namespace MemSim.Tests.PageCache;

public class PageTreeTests
{
    [Theory]
    [InlineData(1u, 200u)]
    [InlineData(2u, 100_000u)]
    [InlineData(3u, uint.MaxValue)]
    public void Random_changes_agree_with_a_sorted_dictionary(uint seed, uint range)
    {
        using FileMachine m = new();
        PageTreeNodes nodes = m.Machine.Files.PageCache.Nodes;
        PageTree tree = new(nodes, tracksShadows: true);
        SortedDictionary<uint, (long Entry, bool Dirty)> model = [];
        Random random = new((int)seed);
        for (int i = 0; i < 20_000; i++)
        {
            uint index = random.Next(3) == 0 ? (uint)random.Next(4) : (uint)(random.NextDouble() * range);
            if (random.Next(5) != 0 && model.Count != 0 && random.Next(2) == 0)
            {
                index = model.Keys.ElementAt(random.Next(Math.Min(model.Count, 30)));
            }

            switch (random.Next(6))
            {
                case 0 or 1:
                    tree.TryReserve(m.Cpu, index, Gfp.Kernel).Should().BeTrue();
                    long entry = random.Next(4) == 0 ? PageTree.ValueEntry(random.Next()) : PageTree.PageEntry(random.Next(100_000));
                    tree.Store(m.Cpu, index, entry).Should().Be(model.GetValueOrDefault(index).Entry);
                    model[index] = (entry, model.GetValueOrDefault(index).Dirty);
                    break;
                case 2 or 3:
                    tree.Remove(m.Cpu, index);
                    model.Remove(index);
                    break;
                case 4:
                    tree.SetTag(index, PageTag.Dirty);
                    if (model.TryGetValue(index, out (long Entry, bool Dirty) tagged))
                    {
                        model[index] = (tagged.Entry, true);
                    }

                    break;
                default:
                    tree.ClearTag(index, PageTag.Dirty);
                    if (model.TryGetValue(index, out (long Entry, bool Dirty) cleared))
                    {
                        model[index] = (cleared.Entry, false);
                    }

                    break;
            }

            tree.Get(index).Should().Be(model.GetValueOrDefault(index).Entry);
            if (i % 500 == 0)
            {
                tree.Verify();
                Walk(tree, PageTag.Any).Should().Equal(model.Select(e => e.Key));
                Walk(tree, PageTag.Dirty).Should().Equal(model.Where(e => e.Value.Dirty).Select(e => e.Key));
            }
        }

        foreach (uint index in model.Keys.ToArray())
        {
            tree.Remove(m.Cpu, index);
        }

        tree.Verify();
        nodes.InUse.Should().Be(0);
        nodes.ShadowNodes.Should().Be(0);
    }

    [Theory]
    [InlineData(1u, 9)]
    [InlineData(2u, 6)]
    [InlineData(3u, 5)]
    [InlineData(4u, 11)]
    public void Large_pages_and_values_agree_with_a_dictionary_of_single_indexes(uint seed, int largest)
    {
        using FileMachine m = new();
        PageTreeNodes nodes = m.Machine.Files.PageCache.Nodes;
        PageTree tree = new(nodes, tracksShadows: true);
        Dictionary<uint, long> model = [];
        Dictionary<uint, int> pages = [];
        Random random = new((int)seed);
        for (int i = 0; i < 3_000; i++)
        {
            int order = random.Next(largest + 1);
            uint index = (uint)random.Next(3 << largest) >> order << order;
            uint end = index + (1u << order);
            bool isFree = !pages.Any(page => page.Key < end && page.Key + (1u << page.Value) > index);
            if (isFree)
            {
                tree.TryReserve(m.Cpu, index, Gfp.Kernel, order).Should().BeTrue();
                long entry = PageTree.PageEntry(random.Next(100_000));
                long before = tree.Store(m.Cpu, index, entry, order);
                long[] shadows = [.. Enumerable.Range((int)index, 1 << order).Select(k => model.GetValueOrDefault((uint)k)).Where(e => e != 0)];
                before.Should().Be(shadows.LastOrDefault(), "the last shadow below a page decides whether it comes back soon");
                pages[index] = order;
                Fill(index, order, entry);
            }
            else
            {
                (index, order) = pages.ElementAt(random.Next(pages.Count));
                switch (random.Next(3))
                {
                    case 0:
                        long value = PageTree.ValueEntry(random.Next());
                        tree.Evict(index, value, order);
                        Fill(index, order, value);
                        break;
                    case 1:
                        tree.Remove(m.Cpu, index, order);
                        Fill(index, order, 0);
                        break;
                    default:
                        int pfn = PageTree.PfnOf(model[index]);
                        tree.TryReserveSplit(m.Cpu, order, Gfp.Kernel).Should().BeTrue();
                        tree.SplitPages(m.Cpu, index, order, pfn);
                        for (uint k = 0; k < 1u << order; k++)
                        {
                            model[index + k] = PageTree.PageEntry(pfn + (int)k);
                            pages[index + k] = 0;
                        }

                        continue;
                }

                pages.Remove(index);
            }

            if (i % 100 == 0)
            {
                tree.Verify();
                tree.Pages.Should().Be(model.Values.Count(PageTree.IsPage));
                tree.Values.Should().Be(model.Values.Count(PageTree.IsValue));
                for (uint k = 0; k < 3u << largest; k++)
                {
                    tree.Get(k).Should().Be(model.GetValueOrDefault(k));
                }
            }
        }

        foreach ((uint index, int order) in pages)
        {
            tree.Remove(m.Cpu, index, order);
        }

        foreach (uint index in model.Keys)
        {
            tree.Remove(m.Cpu, index);
        }

        tree.Verify();
        tree.IsEmpty.Should().BeTrue();
        nodes.InUse.Should().Be(0);
        nodes.ShadowNodes.Should().Be(0);

        void Fill(uint index, int order, long entry)
        {
            for (uint k = 0; k < 1u << order; k++)
            {
                model[index + k] = entry;
            }
        }
    }

    [Fact]
    public void A_large_page_takes_no_nodes_below_the_level_whose_slots_it_fills()
    {
        using FileMachine m = new();
        PageTreeNodes nodes = m.Machine.Files.PageCache.Nodes;
        PageTree tree = new(nodes, tracksShadows: true);
        tree.TryReserve(m.Cpu, 512, Gfp.Kernel, 9).Should().BeTrue();
        tree.Store(m.Cpu, 512, PageTree.PageEntry(7), 9);
        nodes.InUse.Should().Be(1, "eight slots of 64 pages each");
        tree.TryReserveSplit(m.Cpu, 9, Gfp.Kernel).Should().BeTrue();
        tree.SplitPages(m.Cpu, 512, 9, 7);
        nodes.InUse.Should().Be(9);
        for (uint index = 512; index < 1024; index++)
        {
            tree.Remove(m.Cpu, index);
        }

        nodes.InUse.Should().Be(0);
    }

    [Fact]
    public void One_page_at_index_0_takes_no_node()
    {
        using FileMachine m = new();
        OpenFile file = m.Files.Create("small").Value;
        m.Cpu.Files.Write(file, 0, new byte[10]);
        m.Machine.Files.PageCache.Nodes.InUse.Should().Be(0);
        m.Cpu.Files.Write(file, 70 * 4096, new byte[10]);
        m.Machine.Files.PageCache.Nodes.InUse.Should().Be(3);
        m.Cpu.Files.Truncate(file, 100);
        m.Machine.Files.PageCache.Nodes.InUse.Should().Be(0);
    }

    [Fact]
    public void Nodes_of_shadows_are_counted_and_can_be_reclaimed()
    {
        using FileMachine m = new();
        PageTreeNodes nodes = m.Machine.Files.PageCache.Nodes;
        PageTree tree = new(nodes, tracksShadows: true);
        for (uint index = 64; index < 128; index++)
        {
            tree.TryReserve(m.Cpu, index, Gfp.Kernel).Should().BeTrue();
            tree.Store(m.Cpu, index, PageTree.ValueEntry(index));
        }

        m.Counters.WorkingsetNodes.Should().Be(1);
        nodes.ReclaimShadowNodes(m.Cpu, 10).Should().Be(1);
        m.Counters.WorkingsetNodeReclaim.Should().Be(1);
        tree.IsEmpty.Should().BeTrue();
        nodes.InUse.Should().Be(0);
    }

    private static List<uint> Walk(PageTree tree, PageTag tag)
    {
        List<uint> found = [];
        for (uint index = 0; tree.Next(ref index, uint.MaxValue, tag, out _); index++)
        {
            found.Add(index);
            if (index == uint.MaxValue)
            {
                break;
            }
        }

        return found;
    }
}
