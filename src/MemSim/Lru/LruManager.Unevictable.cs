using System.Runtime.CompilerServices;
using MemSim.Pages;
using MemSim.Statistics;

namespace MemSim.Lru;

/// <content>Pages that must not be evicted.</content>
internal sealed partial class LruManager
{
    /// <summary>Locks a page into memory for one more area (<c>mlock_folio()</c>).</summary>
    public void Mlock(Cpu cpu, int pfn)
    {
        ref PageFrame frame = ref _frames[pfn];
        long pages = 1L << frame.Order;
        if (!frame.IsMlocked)
        {
            SetFlags(ref frame, PageFlags.Mlocked);
            CountMlocked(frame.ZoneId, pages);
            _machine.Events.Count(VmEvent.UnevictablePagesMlocked, pages);
        }

        // A page that is still in the batch of new ones must be on a list to be moved off it.
        if (!frame.IsOnLru)
        {
            Drain(cpu);
        }

        if (!TestClearLru(ref frame))
        {
            return;
        }

        LruVec vec = OfPage(pfn);
        Zone zone = _zones[frame.ZoneId];
        vec.Enter();
        if (frame.IsUnevictable)
        {
            frame.Prev++;
        }
        else
        {
            vec.Remove(ref frame, pfn, zone);
            ClearFlags(ref frame, PageFlags.Active);
            SetFlags(ref frame, PageFlags.Unevictable);
            frame.Prev = 1;
            vec.Add(ref frame, pfn, zone);
            _machine.Events.Count(VmEvent.UnevictablePagesCulled, pages);
        }

        SetFlags(ref frame, PageFlags.Lru);
        vec.Exit();
    }

    /// <summary>Takes one area's lock away; the last one makes the page evictable (<c>munlock_page()</c>).</summary>
    public void Munlock(Cpu cpu, int pfn)
    {
        ref PageFrame frame = ref _frames[pfn];
        if (!frame.IsOnLru)
        {
            Drain(cpu);
        }

        long pages = 1L << frame.Order;
        bool isolated = TestClearLru(ref frame);
        LruVec vec = OfPage(pfn);
        vec.Enter();
        bool last = true;
        if (isolated && frame.IsUnevictable)
        {
            frame.Prev = Math.Max(0, frame.Prev - 1);
            last = frame.Prev == 0;
        }

        if (last)
        {
            // Without its place on the list nobody can tell how many locks it has: this one is taken for the last.
            MakeEvictable(vec, ref frame, pfn, isolated, pages);
        }

        if (isolated)
        {
            SetFlags(ref frame, PageFlags.Lru);
        }

        vec.Exit();
    }

    /// <summary>Whether reclaim may take a page (<c>folio_evictable()</c>).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool IsEvictable(ref PageFrame frame) => !frame.IsMlocked && !IsKept(ref frame);

    /// <summary>Whether the page's owner keeps its pages in memory.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool IsKept(ref PageFrame frame) => _mappings.KeepingOwners != 0 && IsMappingUnevictable(ref frame);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool IsMappingUnevictable(ref PageFrame frame) =>
        frame.IsOfFile && _mappings.Find(frame.Mapping) is IUnevictableMapping { IsUnevictable: true };

    private void MakeEvictable(LruVec vec, ref PageFrame frame, int pfn, bool isolated, long pages)
    {
        if ((ClearFlags(ref frame, PageFlags.Mlocked) & PageFlags.Mlocked) != 0)
        {
            CountMlocked(frame.ZoneId, -pages);
            bool stranded = !isolated && frame.IsUnevictable;
            _machine.Events.Count(stranded ? VmEvent.UnevictablePagesStranded : VmEvent.UnevictablePagesMunlocked, pages);
        }

        if (isolated && frame.IsUnevictable && IsEvictable(ref frame))
        {
            Zone zone = _zones[frame.ZoneId];
            vec.Remove(ref frame, pfn, zone);
            ClearFlags(ref frame, PageFlags.Unevictable);
            vec.Add(ref frame, pfn, zone);
            _machine.Events.Count(VmEvent.UnevictablePagesRescued, pages);
        }
    }

    private void CountMlocked(int zoneId, long pages) => _zones[zoneId].Counters.AddMlock(pages);
}
