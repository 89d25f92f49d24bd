using System.Diagnostics;
using MemSim.Lru;
using MemSim.Pages;
using MemSim.Statistics;

namespace MemSim.Reclaim;

/// <content>Active pages: the oldest become inactive.</content>
internal sealed partial class PageReclaim
{
    /// <summary>Moves pages from the end of an active list to the inactive one; used code of files stays (<c>shrink_active_list()</c>).</summary>
    internal void ShrinkActive(Cpu cpu, NodeReclaimState state, LruVec vec, LruList list, long want, ScanControl sc)
    {
        bool file = list == LruList.ActiveFile;
        _lru.Drain(cpu);
        LruManager.Isolation isolation = default;
        int entries = _lru.IsolateFrom(vec, list, want, sc.ReclaimIndex, sc.MayUnmap, sc.Pages, ref isolation);
        TraceIsolation(cpu, sc, list, want, isolation);
        _machine.Pressure.Stall(Costs.ScanNanoseconds * isolation.Scanned, full: !sc.IsKswapd && _machine.Cpus.Count == 1);
        Counts.CountRefilled(vec, sc, isolation.Scanned);
        int active = 0;
        int inactive = 0;
        long rotated = 0;
        foreach (int pfn in sc.Pages.AsSpan(0, entries))
        {
            ref PageFrame frame = ref _machine.Frames.Array[pfn];
            if (!_lru.IsEvictable(pfn))
            {
                _lru.PutBack(cpu, pfn);
                continue;
            }

            if (frame.MapCount != 0 && _machine.Lru.Owners is { } owners && TryLock(ref frame))
            {
                PageReferences used = owners.Referenced(cpu, pfn);
                Unlock(ref frame);
                if (used.Count != 0 && used.Executable && file)
                {
                    rotated += 1L << frame.Order;
                    sc.Kept[active++] = pfn;
                    continue;
                }
            }

            _lru.ClearFlags(ref frame, PageFlags.Active);
            _lru.SetFlags(ref frame, PageFlags.WorkingSet);
            sc.Others[inactive++] = pfn;
        }

        Debug.Assert(active + inactive <= entries && entries <= isolation.Taken, "what was taken stays active, becomes inactive or went back");
        long activated = _lru.PutBackAll(cpu, vec, sc.Kept.AsSpan(0, active), out int unusedActive);
        long deactivated = _lru.PutBackAll(cpu, vec, sc.Others.AsSpan(0, inactive), out int unusedInactive);
        LruManager.EndIsolation(vec, file, isolation.Taken);
        _lru.FreeUnreferenced(cpu, sc.Kept.AsSpan(0, unusedActive));
        _lru.FreeUnreferenced(cpu, sc.Others.AsSpan(0, unusedInactive));
        Debug.Assert(activated + deactivated <= isolation.Taken, "no more pages go on lists than came off");
        Count(VmEvent.Deactivate, deactivated);
        vec.Counters.Add(LruVecCount.Deactivate, deactivated);
        _machine.Reclaim.Trace?.LruShrinkActive(cpu, new LruShrinkActiveEvent(state.Node.Id, isolation.Taken, activated, deactivated, rotated, sc.Priority, file));
    }
}
