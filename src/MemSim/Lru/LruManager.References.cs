using System.Runtime.CompilerServices;
using MemSim.Pages;
using MemSim.Statistics;

namespace MemSim.Lru;

/// <content>Dropping references: a page whose last one goes leaves its list and is freed.</content>
internal sealed partial class LruManager
{
    private const int EndOfList = -1;

    /// <summary>Takes a reference unless the page has none (<c>folio_try_get()</c>).</summary>
    public bool TryGet(int pfn)
    {
        if (_parallel)
        {
            _machine.Interleaver?.Pass("LruManager.TryGet");
        }

        return _frames[pfn].TryGet(_parallel);
    }

    /// <summary>Drops a reference; the last one takes the page off its list and frees it (<c>put_page()</c>).</summary>
    public void Put(Cpu cpu, int pfn)
    {
        if (DropReference(cpu, pfn))
        {
            int order = _frames[pfn].Order;
            if (Release(cpu, pfn))
            {
                _machine.Pages.FreeBlock(cpu, pfn, order);
            }
        }
    }

    /// <summary>Drops a reference to each page; those whose last it was are freed together (<c>release_pages()</c>).</summary>
    public void PutAll(Cpu cpu, ReadOnlySpan<int> pages)
    {
        int first = EndOfList;
        int last = EndOfList;
        foreach (int pfn in pages)
        {
            if (DropReference(cpu, pfn))
            {
                Collect(cpu, pfn, ref first, ref last);
            }
        }

        FreeChain(cpu, first);
    }

    /// <summary>Frees pages that reclaim took the last reference of: neither on a list nor in a cache (<c>free_unref_page_list()</c>, <c>free_unref_folios()</c>).</summary>
    public void FreeUnreferenced(Cpu cpu, ReadOnlySpan<int> pages)
    {
        int first = EndOfList;
        int last = EndOfList;
        foreach (int pfn in pages)
        {
            Collect(cpu, pfn, ref first, ref last);
        }

        FreeChain(cpu, first);
    }

    /// <summary>Puts a page without references in front of those to be freed together, or behind them (6.10); a block of several pages is freed at once.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Collect(Cpu cpu, int pfn, ref int first, ref int last)
    {
        ref PageFrame frame = ref _frames[pfn];
        int order = frame.Order;
        if (!Release(cpu, pfn))
        {
            return;
        }

        if (order != 0)
        {
            _machine.Pages.FreeBlock(cpu, pfn, order);
            return;
        }

        if (_freesInOrder && first != EndOfList)
        {
            frame.Next = EndOfList;
            _frames[last].Next = pfn;
            last = pfn;
            return;
        }

        frame.Next = first;
        first = last = pfn;
    }

    private void FreeChain(Cpu cpu, int first)
    {
        if (first != EndOfList)
        {
            _machine.Pages.FreeChain(cpu, first, EndOfList);
        }
    }

    /// <summary>Drops a reference.</summary>
    /// <returns>Whether it was the last.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool DropReference(Cpu cpu, int pfn)
    {
        ref PageFrame frame = ref _frames[pfn];
        if (frame.RefCount == 0)
        {
            _machine.Bugs.BadFree(cpu, new Page(_machine, pfn), 0, "put_page");
            return false;
        }

        if (_parallel)
        {
            _machine.Interleaver?.Pass("LruManager.DropReference");
        }

        return frame.Drop(_parallel);
    }

    /// <summary>Takes everything off a page that has no references any more (<c>__page_cache_release()</c>, <c>free_pages_prepare()</c>).</summary>
    /// <returns>False after a complaint: the page is in a state in which it cannot be freed, and stays out of use as a bad page does.</returns>
    private bool Release(Cpu cpu, int pfn)
    {
        ref PageFrame frame = ref _frames[pfn];
        if (frame.IsOnLru)
        {
            LruVec vec = OfPage(pfn);
            vec.Enter();
            vec.Remove(ref frame, pfn, _zones[frame.ZoneId]);
            ClearFlags(ref frame, PageFlags.Lru | PageFlags.Active | PageFlags.Unevictable);
            vec.Exit();
        }

        if (frame.IsMlocked)
        {
            ClearFlags(ref frame, PageFlags.Mlocked);
            CountMlocked(frame.ZoneId, -(1L << frame.Order));
            _machine.Events.Count(VmEvent.UnevictablePagesCleared, 1L << frame.Order);
        }

        if (frame.Order != 0)
        {
            _machine.Lru.Owners.HugePageFreed(pfn);
        }

        // An anonymous page keeps its owner until it is freed; one of a file must have left its cache.
        if (frame.IsAnonymous)
        {
            frame.Mapping = 0;
        }

        Ages.Forget(pfn);
        Idle?.Forget(pfn);
        const PageFlags remnants = PageFlags.Waiters | PageFlags.Unevictable | PageFlags.Active;
        if (frame.Has(remnants))
        {
            ClearFlags(ref frame, remnants);
        }

        if (!frame.IsHeldByFlagsOrOwner && frame.InvertedMapCount == 0)
        {
            return true;
        }

        frame.AddReferences(1, shared: false);
        _machine.Bugs.BadFree(cpu, new Page(_machine, pfn), frame.Order, "put_page");
        return false;
    }
}
