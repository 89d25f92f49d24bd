using FluentAssertions;
using MemSim.Lru;
using MemSim.Pages;
using MemSim.Tests.Reclaim;
using Xunit;

namespace MemSim.Tests.Migration;

/// <summary>Pages on LRU lists, mapped by page tables that are one array.</summary>
public class MappedPagesTests : MachineTests
{
    [Fact]
    public void Mapped_pages_move_with_their_mappings_flags_and_place_on_the_lists()
    {
        (Machine machine, OneTable table) = Fragmented();
        Cpu cpu = machine.Cpus[0];
        Node node = machine.Nodes[0];
        machine.Lru.DrainAll();
        long active = node.Counters.ActiveAnon;
        long inactive = node.Counters.InactiveAnon;
        int blocks = machine.HugeBlocks();

        machine.Compaction.CompactMemory();
        machine.Memory.DrainAllPages();
        machine.Lru.DrainAll();

        table.Moves.Should().BeGreaterThan(1000);
        machine.HugeBlocks().Should().BeGreaterThan(blocks + 4);
        node.Counters.ActiveAnon.Should().Be(active);
        node.Counters.InactiveAnon.Should().Be(inactive);
        node.Counters.IsolatedAnon.Should().Be(0);
        table.Check(cpu);
        table.Slots.Where(pfn => pfn >= 0).Should().OnlyContain(pfn => machine.GetPage(new Pfn(pfn)).Count == 1 && machine.GetPage(new Pfn(pfn)).MapCount == 1);
    }

    [Fact]
    public void A_page_held_by_somebody_else_is_not_even_isolated()
    {
        (Machine machine, OneTable table) = Fragmented();
        Cpu cpu = machine.Cpus[0];
        int slot = 100;
        Page page = machine.GetPage(new Pfn(table.Slots[slot]));
        cpu.Pages.GetPage(page);

        machine.Compaction.CompactMemory();

        table.Slots[slot].Should().Be((int)page.Pfn.Value);
        machine.Events("pgmigrate_fail").Should().BeLessThanOrEqualTo(2, "in each zone the last page finds no target when the scanners meet");
        cpu.Pages.PutPage(page);
        table.Check(cpu);
    }

    [Fact]
    public void Pages_whose_owner_refuses_stay_mapped_where_they_are_and_are_counted()
    {
        (Machine machine, OneTable table) = Fragmented();
        table.Refuses = true;
        int[] before = [.. table.Slots];

        machine.Compaction.CompactMemory();

        table.Slots.Should().Equal(before);
        machine.Events("pgmigrate_success").Should().Be(0);
        machine.Events("pgmigrate_fail").Should().BePositive();
        machine.Nodes[0].Counters.IsolatedAnon.Should().Be(0);
        table.Check(machine.Cpus[0]);
    }

    [Fact]
    public void A_page_under_writeback_is_only_waited_for_by_the_most_patient()
    {
        (Machine machine, OneTable table) = Fragmented();
        Page page = machine.GetPage(new Pfn(table.Slots[0]));
        page.SetFlags(PageFlags.Writeback);

        machine.Compaction.CompactMemory();

        table.Slots[0].Should().Be((int)page.Pfn.Value);
        page.ClearFlags(PageFlags.Writeback);
        table.Check(machine.Cpus[0]);
    }

    private (Machine Machine, OneTable Table) Fragmented()
    {
        Machine machine = Boot(MachineSpec.X86_64("192M"));
        OneTable table = new(machine);
        table.Fill(machine.Cpus[0]);
        return (machine, table);
    }

    /// <summary>The least there can be of an address space: a page-table entry is a number in an array.</summary>
    private sealed class OneTable : IPageOwners
    {
        private readonly Machine _machine;
        private readonly uint _mapping;

        public OneTable(Machine machine)
        {
            _machine = machine;
            _mapping = MappingTable.Value(machine.Frames.Mappings.Add(this), MappingTable.Anonymous);
            machine.Lru.Owners = this;
        }

        public List<int> Slots { get; } = [];

        public int Moves { get; private set; }

        public bool Refuses { get; set; }

        public void Fill(Cpu cpu)
        {
            for (Page page = New(cpu); !page.IsNull; page = New(cpu))
            {
                ref PageFrame frame = ref _machine.Frames.FrameOf((int)page.Pfn.Value);
                frame.Mapping = _mapping;
                frame.Index = (uint)Slots.Count;
                frame.InvertedMapCount = -1;
                page.SetFlags(PageFlags.SwapBacked | PageFlags.UpToDate | (Slots.Count % 3 == 0 ? PageFlags.Active : PageFlags.None));
                _machine.Ram.Write((ulong)page.Pfn.Value << 12, Slots.Count * 7L);
                _machine.Lru.Add(cpu, (int)page.Pfn.Value);
                Slots.Add((int)page.Pfn.Value);
            }

            _machine.Lru.DrainAll();
            for (int slot = 1; slot < Slots.Count; slot += 2)
            {
                int pfn = Slots[slot];
                _machine.Frames.FrameOf(pfn).InvertedMapCount = 0;
                Slots[slot] = -1;
                _machine.Lru.Put(cpu, pfn);
            }

            _machine.Memory.DrainAllPages();
        }

        public void Check(Cpu cpu)
        {
            for (int slot = 0; slot < Slots.Count; slot++)
            {
                if (Slots[slot] >= 0)
                {
                    _machine.Ram.Read<long>((ulong)Slots[slot] << 12).Should().Be(slot * 7L);
                    _machine.GetPage(new Pfn(Slots[slot])).Index.Should().Be((uint)slot);
                }
            }
        }

        public bool UnmapForMigration(Cpu cpu, int pfn)
        {
            ref PageFrame frame = ref _machine.Frames.FrameOf(pfn);
            frame.InvertedMapCount = 0;
            _machine.Frames.AddReferences(pfn, -1);
            return true;
        }

        public bool MoveMapping(Cpu cpu, int from, int to)
        {
            ref PageFrame old = ref _machine.Frames.FrameOf(from);
            if (Refuses || old.RefCount != 1)
            {
                return false;
            }

            ref PageFrame fresh = ref _machine.Frames.FrameOf(to);
            (fresh.Mapping, fresh.Index) = (old.Mapping, old.Index);
            Moves++;
            return true;
        }

        public void RestoreMappings(Cpu cpu, int from, int to)
        {
            ref PageFrame frame = ref _machine.Frames.FrameOf(to);
            frame.InvertedMapCount = -1;
            _machine.Frames.AddReferences(to, 1);
            Slots[(int)frame.Index] = to;
        }

        public PageReferences Referenced(Cpu cpu, int pfn) => default;

        public bool TryToUnmap(Cpu cpu, int pfn) => false;

        public bool AddToSwap(Cpu cpu, int pfn) => false;

        public PageOutOutcome PageOut(Cpu cpu, int pfn) => PageOutOutcome.Keep;

        public bool RemoveFromCache(Cpu cpu, int pfn) => false;

        private static Page New(Cpu cpu) => cpu.AllocPages((Gfp.HighUser | Gfp.Movable | Gfp.NoWarn) & ~Gfp.Reclaim, 0);
    }
}
