using FluentAssertions;
using MemSim.PageCache;
using Xunit;

namespace MemSim.Tests.AddressSpaces.Files;

public class PageTreeTests
{
    [Theory]
    [InlineData(1u, 200u)]
    [InlineData(2u, 100_000u)]
    [InlineData(3u, uint.MaxValue)]
    public void Random_changes_agree_with_a_sorted_dictionary(uint seed, uint range)
    {
        using FileMachine m = new();
        PageTreeNodes nodes = m.Machine.PageCache.Nodes;
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

    [Fact]
    public void One_page_at_index_0_takes_no_node()
    {
        using FileMachine m = new();
        OpenFile file = m.Files.Create("small").Value;
        m.Cpu.Files.Write(file, 0, new byte[10]);
        m.Machine.PageCache.Nodes.InUse.Should().Be(0);
        m.Cpu.Files.Write(file, 70 * 4096, new byte[10]);
        m.Machine.PageCache.Nodes.InUse.Should().Be(3);
        m.Cpu.Files.Truncate(file, 100);
        m.Machine.PageCache.Nodes.InUse.Should().Be(0);
    }

    [Fact]
    public void Nodes_of_shadows_are_counted_and_can_be_reclaimed()
    {
        using FileMachine m = new();
        PageTreeNodes nodes = m.Machine.PageCache.Nodes;
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
