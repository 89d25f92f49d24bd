using MemSim.Lru;

namespace MemSim.Reclaim;

/// <summary>Reclaim by active and inactive lists, with the balance of <c>get_scan_count()</c> between them.</summary>
internal sealed class ListEngine(Machine machine, PageReclaim reclaim) : IReclaimEngine
{
    /// <inheritdoc/>
    public bool JudgesPasses => true;

    /// <inheritdoc/>
    public void BeginAging(Cpu cpu, NodeReclaimState state, ScanControl sc)
    {
        if ((machine.SystemFigures.SwapTotalPages > 0 || machine.Migration.Tiers.CanDemote(state.Node)) && PageReclaim.InactiveIsLow(state.Lists, file: false))
        {
            for (LruVec? vec = state.Lists; vec is not null; vec = vec.NextBelow(state.Lists))
            {
                reclaim.ShrinkActive(cpu, state, vec, LruList.ActiveAnon, ScanControl.ClusterPages, sc);
            }
        }
    }

    /// <inheritdoc/>
    public void Begin(NodeReclaimState state, LruVec vec, ScanControl sc) => reclaim.CountScan(state, sc);

    /// <inheritdoc/>
    public bool Turn(Cpu cpu, NodeReclaimState state, LruVec vec, ScanControl sc) => reclaim.ScanListsTurn(cpu, state, sc);

    /// <inheritdoc/>
    public bool HasEnough(NodeReclaimState state, ScanControl sc) => false;

    /// <inheritdoc/>
    public void End(Cpu cpu, NodeReclaimState state, LruVec vec, ScanControl sc)
    {
        if ((machine.SystemFigures.SwapTotalPages > 0 || machine.Migration.Tiers.CanDemote(vec.Node)) && PageReclaim.InactiveIsLow(vec, file: false))
        {
            reclaim.ShrinkActive(cpu, state, vec, LruList.ActiveAnon, ScanControl.ClusterPages, sc);
        }
    }
}
