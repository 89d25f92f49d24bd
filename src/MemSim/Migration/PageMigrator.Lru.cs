using MemSim.Lru;
using MemSim.Pages;

namespace MemSim.Migration;

/// <content>Pages on LRU lists.</content>
internal sealed partial class PageMigrator
{
    /// <summary>Takes a page off its LRU list and counts it as isolated: the caller holds a reference then.</summary>
    public bool IsolateLru(int pfn)
    {
        // Somebody may have made it a driver's while it waited in a batch: as such it would be put back, and counted.
        if (IsMovable(pfn) || !_machine.Lru.Isolate(pfn))
        {
            return false;
        }

        CountIsolated(pfn, 1);
        return true;
    }

    /// <summary>Puts what waits in a CPU's batch on the lists: only there it can be isolated.</summary>
    public void DrainLru(Cpu cpu) => _machine.Lru.Drain(cpu);

    /// <summary>The same for all CPUs.</summary>
    public void DrainAllLru(Cpu cpu) => _machine.Lru.DrainAll(cpu);

    /// <summary>Moves pages that reclaim took off its lists and counts itself: those that do not go stay in the list.</summary>
    /// <returns>Pages moved.</returns>
    public long MigrateTaken(Cpu cpu, List<int> pages, IMigrationTargets targets, MigrationMode mode, MigrationReason reason)
    {
        foreach (int pfn in pages)
        {
            CountIsolated(pfn, 1);
        }

        int moved = Migrate(cpu, pages, targets, mode, reason).Succeeded;
        foreach (int pfn in pages)
        {
            CountIsolated(pfn, -1);
        }

        return moved;
    }

    private void PutBackLru(Cpu cpu, int pfn)
    {
        CountIsolated(pfn, -1);
        _machine.Lru.PutBack(cpu, pfn);
    }

    private void AddToLru(Cpu cpu, int pfn, bool drain)
    {
        _machine.Lru.Add(cpu, pfn);
        if (drain)
        {
            _machine.Lru.Drain(cpu);
        }
    }

    private void PutLru(Cpu cpu, int pfn) => _machine.Lru.Put(cpu, pfn);

    private void CountIsolated(int pfn, int sign)
    {
        ref PageFrame frame = ref _frames[pfn];
        LruVec vec = _machine.Lru.OfPage(pfn);
        vec.Enter();
        LruManager.CountIsolated(vec, file: !frame.IsSwapBacked, sign << frame.Order);
        vec.Exit();
    }
}
