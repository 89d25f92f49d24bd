using MemSim.Pages;

namespace MemSim.Migration;

/// <summary>Pages of the same order from a node or those behind it: what was in one place goes wherever there is room (<c>alloc_migration_target()</c>).</summary>
internal sealed class NodeTargets(Machine machine) : IMigrationTargets
{
    /// <summary>Where to look first; null for the node of the CPU that migrates.</summary>
    public Node? Node { get; set; }

    public int Take(Cpu cpu, int from, int order)
    {
        ref PageFrame frame = ref machine.Frames.Array[from];
        Zone zone = machine.Zones[frame.ZoneId];
        Gfp gfp = Gfp.User | Gfp.Movable | Gfp.RetryMayFail | Gfp.NoWarn;
        gfp |= zone.Type is ZoneType.HighMem or ZoneType.Movable ? Gfp.HighMem : Gfp.None;
        gfp |= frame.IsCompoundHead ? Gfp.Comp : Gfp.None;
        return machine.Pages.AllocateChecked(cpu, gfp, order, Node);
    }

    public void GiveBack(Cpu cpu, int pfn) => machine.Pages.FreeBlock(cpu, pfn, machine.Frames.Array[pfn].Order);
}
