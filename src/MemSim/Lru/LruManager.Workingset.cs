using System.Diagnostics;
using MemSim.Pages;

namespace MemSim.Lru;

/// <content>Workingset detection: would a page that comes back have stayed, had its list been as long as memory allows?</content>
internal sealed partial class LruManager
{
    private const int NodeShift = 2;
    private const int CgroupShift = 12;
    private const int AgeShift = 28;
    private const long AgeMask = (1L << (63 - AgeShift)) - 1;

    /// <summary>What to leave in a page's place when it is reclaimed (<c>workingset_eviction()</c>): never 0.</summary>
    /// <remarks>The time is that of the cgroup whose limit asked for it: there the page would have had to stay.</remarks>
    public long EvictionShadow(Cpu cpu, int pfn)
    {
        ref PageFrame frame = ref _frames[pfn];
        if (ByGeneration)
        {
            return ShadowByGeneration(OfPage(pfn), ref frame, pfn);
        }

        LruVec vec = _vecOfZone[frame.ZoneId];
        if (_batches[cpu.Id].EvictionCgroup is var cgroup and not 0)
        {
            vec = VecOf(vec.Index, cgroup)!;
        }

        long age = vec.NonresidentAge & AgeMask;
        vec.Age(1L << frame.Order);
        bool workingset = frame.IsWorkingset;
        return (age << AgeShift) | ((long)vec.CgroupId << CgroupShift) | ((long)vec.Index << NodeShift) | (workingset ? 2L : 0) | 1;
    }

    /// <summary>Decides what a page is that comes back (<c>workingset_refault()</c>): one that was missed sooner than the active pages are old becomes active.</summary>
    /// <param name="cpu">The CPU that brings it back.</param>
    /// <param name="pfn">The page, not yet on a list.</param>
    /// <param name="shadow">What <see cref="EvictionShadow"/> left.</param>
    public void Refault(Cpu cpu, int pfn, long shadow)
    {
        Debug.Assert(cpu.Machine == _machine, "a CPU of another machine");
        ref PageFrame frame = ref _frames[pfn];
        int node = (int)(shadow >> NodeShift & ((1 << (CgroupShift - NodeShift)) - 1));
        if (VecOf(node, (int)(shadow >> CgroupShift & ((1 << (AgeShift - CgroupShift)) - 1))) is not { } evictedFrom)
        {
            // The cgroup is gone, and with it all that could be compared.
            return;
        }

        LruVec vec = OfPage(pfn);
        bool file = !frame.IsSwapBacked;
        long pages = 1L << frame.Order;
        if (ByGeneration)
        {
            RefaultByGeneration(cpu, vec, evictedFrom, ref frame, pfn, shadow);
            return;
        }

        long distance = (evictedFrom.NonresidentAge - (shadow >> AgeShift)) & AgeMask;
        NodeCounters counters = vec.Node.Counters;
        vec.Enter();
        counters.WorkingsetRefaultAnon += file ? 0 : pages;
        counters.WorkingsetRefaultFile += file ? pages : 0;
        vec.Counters.Add(file ? LruVecCount.RefaultFile : LruVecCount.RefaultAnon, pages);
        vec.Exit();
        if (distance > WorkingsetSize(evictedFrom, file))
        {
            return;
        }

        SetFlags(ref frame, PageFlags.Active);
        bool restored = (shadow & 2) != 0;
        vec.Age(pages);
        vec.Enter();
        counters.WorkingsetActivateAnon += file ? 0 : pages;
        counters.WorkingsetActivateFile += file ? pages : 0;
        counters.WorkingsetRestoreAnon += restored && !file ? pages : 0;
        counters.WorkingsetRestoreFile += restored && file ? pages : 0;
        vec.Counters.Add(file ? LruVecCount.ActivateFile : LruVecCount.ActivateAnon, pages);
        vec.Counters.Add(file ? LruVecCount.RestoreFile : LruVecCount.RestoreAnon, restored ? pages : 0);
        vec.Exit();
        if (restored)
        {
            SetFlags(ref frame, PageFlags.WorkingSet);
            vec.NoteCost(file, pages);
        }
    }

    /// <summary>The pages a refaulting one competes with: those of the active list, and those of the other kind while they can be swapped.</summary>
    private long WorkingsetSize(LruVec vec, bool file)
    {
        long size = vec.Size(LruList.ActiveFile);
        size += file ? 0 : vec.Size(LruList.InactiveFile);
        if (SwapFreePages(vec) > 0)
        {
            size += vec.Size(LruList.ActiveAnon);
            size += file ? vec.Size(LruList.InactiveAnon) : 0;
        }

        return size;
    }
}
