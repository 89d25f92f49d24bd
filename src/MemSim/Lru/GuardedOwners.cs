namespace MemSim.Lru;

/// <summary>Owners of pages on a machine with parallel CPUs: reclaim on one CPU asks while another one changes address spaces or files.</summary>
internal sealed class GuardedOwners(Machine machine, IPageOwners inner) : IPageOwners
{
    // Takes the lock itself where it needs it: most pages are none of its business.
    public void HugePageFreed(int pfn) => inner.HugePageFreed(pfn);

    public PageReferences Referenced(Cpu cpu, int pfn)
    {
        using OwnersLock.Scope scope = machine.EnterOwners();
        return inner.Referenced(cpu, pfn);
    }

    public void ClearIdleReferences(Cpu cpu, int pfn)
    {
        using OwnersLock.Scope scope = machine.EnterOwners();
        inner.ClearIdleReferences(cpu, pfn);
    }

    public void WalkForAging(Cpu cpu, LruVec vec, AgingWalk walk)
    {
        using OwnersLock.Scope scope = machine.EnterOwners();
        inner.WalkForAging(cpu, vec, walk);
    }

    public bool TryToUnmap(Cpu cpu, int pfn)
    {
        using OwnersLock.Scope scope = machine.EnterOwners();
        return inner.TryToUnmap(cpu, pfn);
    }

    public bool AddToSwap(Cpu cpu, int pfn)
    {
        using OwnersLock.Scope scope = machine.EnterOwners();
        return inner.AddToSwap(cpu, pfn);
    }

    public bool IsPartlyUnmapped(int pfn)
    {
        using OwnersLock.Scope scope = machine.EnterOwners();
        return inner.IsPartlyUnmapped(pfn);
    }

    public void CountSwapOut(int order, bool whole) => inner.CountSwapOut(order, whole);

    public bool SplitHuge(Cpu cpu, int pfn, bool counts = true)
    {
        using OwnersLock.Scope scope = machine.EnterOwners();
        return inner.SplitHuge(cpu, pfn, counts);
    }

    public PageOutOutcome PageOut(Cpu cpu, int pfn)
    {
        using OwnersLock.Scope scope = machine.EnterOwners();
        return inner.PageOut(cpu, pfn);
    }

    public bool RemoveFromCache(Cpu cpu, int pfn)
    {
        using OwnersLock.Scope scope = machine.EnterOwners();
        return inner.RemoveFromCache(cpu, pfn);
    }

    public bool UnmapForMigration(Cpu cpu, int pfn)
    {
        using OwnersLock.Scope scope = machine.EnterOwners();
        return inner.UnmapForMigration(cpu, pfn);
    }

    public bool MoveMapping(Cpu cpu, int from, int to)
    {
        using OwnersLock.Scope scope = machine.EnterOwners();
        return inner.MoveMapping(cpu, from, to);
    }

    public bool MoveHugePage(Cpu cpu, int from, int to)
    {
        using OwnersLock.Scope scope = machine.EnterOwners();
        return inner.MoveHugePage(cpu, from, to);
    }

    public void RestoreMappings(Cpu cpu, int from, int to)
    {
        using OwnersLock.Scope scope = machine.EnterOwners();
        inner.RestoreMappings(cpu, from, to);
    }
}
