using System.Diagnostics;
using MemSim.Migration;
using MemSim.Statistics;

namespace MemSim.Reclaim;

/// <content>Pages that go to slower memory instead of to swap, or away.</content>
internal sealed partial class PageReclaim
{
    private readonly SlowerNodes _slower;

    /// <summary>Whether anonymous pages of a node can go anywhere: to swap, or to a slower node (<c>can_reclaim_anon_pages()</c>).</summary>
    internal bool CanReclaimAnonOf(Node node) => CanReclaimAnon || _machine.Migration.Tiers.CanDemote(node);

    internal bool CanDemote(NodeReclaimState state, ScanControl sc) => sc.MayDemote && _machine.Migration.Tiers.CanDemote(state.Node);

    /// <summary>Moves the pages found unused to a slower node (<c>demote_folio_list()</c>); those that do not go stay in the list.</summary>
    /// <returns>Pages moved.</returns>
    private long Demote(Cpu cpu, NodeReclaimState state, ScanControl sc)
    {
        Node node = state.Node;
        _slower.From = node;
        int before = sc.Demoted.Count;
        long moved = _machine.Migration.Migrator.MigrateTaken(cpu, sc.Demoted, _slower, MigrationMode.Async, MigrationReason.Demotion);
        Debug.Assert(moved >= before - sc.Demoted.Count && sc.Demoted.Count <= before, "what went is counted, what did not is in the list");
        NodeCounters counters = node.Counters;
        if (sc.IsKswapd)
        {
            counters.DemoteKswapd += moved;
        }
        else if (sc.IsProactive)
        {
            counters.DemoteProactive += moved;
        }
        else
        {
            counters.DemoteDirect += moved;
        }

        Count(sc.IsKswapd ? VmEvent.DemoteKswapd : VmEvent.DemoteDirect, moved);
        return moved;
    }

    /// <summary>The nearest slower node, then any slower one; none of them is reclaimed from for it, but their kswapds are woken (<c>alloc_demote_folio()</c>).</summary>
    private sealed class SlowerNodes(Machine machine) : IMigrationTargets
    {
        public Node From { get; set; } = machine.Nodes[0];

        public int Take(Cpu cpu, int from, int order)
        {
            MemoryTiers tiers = machine.Migration.Tiers;
            Gfp gfp = (Gfp.HighUserMovable & ~Gfp.Reclaim) | Gfp.NoWarn | Gfp.NoMemAlloc | Gfp.NoWait | (order != 0 ? Gfp.Comp : Gfp.None);
            Node first = tiers.FirstTarget(From);
            int pfn = machine.Pages.AllocateChecked(cpu, gfp | Gfp.ThisNode, order, first);
            for (ulong others = tiers.Slower(From) & ~(1UL << first.Id); pfn < 0 && others != 0; others &= others - 1)
            {
                Node other = machine.ZoneTable.NodeOrDefault(System.Numerics.BitOperations.TrailingZeroCount(others))!;
                pfn = machine.Pages.AllocateChecked(cpu, gfp | Gfp.ThisNode, order, other);
            }

            return pfn;
        }

        public void GiveBack(Cpu cpu, int pfn) => machine.Pages.FreeBlock(cpu, pfn, machine.Frames.Array[pfn].Order);
    }
}
