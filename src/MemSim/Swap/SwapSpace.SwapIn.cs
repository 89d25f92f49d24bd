using MemSim.Statistics;
using MemSim.Swap;

namespace MemSim;

/// <content>Bringing pages back.</content>
public sealed partial class SwapSpace
{
    /// <summary>Finds the page of an entry in the swap cache or reads it, and some of its neighbours (<c>do_swap_page()</c> up to the mapping).</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="entry">The entry.</param>
    /// <param name="near">Who asks, and what lies near: for read-ahead and for the place of new pages.</param>
    /// <param name="address">The address the entry is kept at.</param>
    /// <param name="pfn">The page: up to date, unlocked, with a reference for the caller; -1 when there is none.</param>
    internal SwapInOutcome SwapIn(Cpu cpu, SwapEntry entry, ISwapNeighbours near, ulong address, out int pfn)
    {
        if (!IsInUse(entry, out SwapArea? area))
        {
            pfn = -1;
            return SwapInOutcome.Gone;
        }

        pfn = LookUp(entry, near, address);
        SwapInOutcome outcome = SwapInOutcome.Found;
        if (pfn < 0)
        {
            outcome = area.Backing.IsSynchronous && near.HasAddresses && area.CountOf(entry.Offset) == 1
                ? ReadPrivately(cpu, area, entry, near, address, out pfn)
                : ReadAround(cpu, area, entry, near, address, out pfn);
            if (pfn < 0)
            {
                return outcome;
            }
        }

        if (HasFlag(pfn, PageFlags.UpToDate) && !HasFlag(pfn, PageFlags.Locked))
        {
            return outcome;
        }

        if (HasFlag(pfn, PageFlags.HwPoison))
        {
            Machine.Lru.Put(cpu, pfn);
            pfn = -1;
            return SwapInOutcome.Poisoned;
        }

        // Locked: somebody else reads it or is about to take it out of the cache.
        outcome = HasFlag(pfn, PageFlags.Locked) ? SwapInOutcome.Gone : SwapInOutcome.Failed;
        Machine.Lru.Put(cpu, pfn);
        pfn = -1;
        return outcome;
    }

    /// <summary>An entry is about to be replaced by a mapping of its page: it no longer names the slot, and the slot itself is given up where that is worth it (<c>swap_free()</c>, <c>should_try_to_free_swap()</c>).</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="entry">The entry.</param>
    /// <param name="pfn">The page, with the caller's reference, which becomes the mapping's.</param>
    /// <param name="write">Whether it is going to be written.</param>
    /// <param name="keepInMemory">Whether the area is locked into memory.</param>
    /// <returns>Whether nobody else holds the page.</returns>
    internal bool GiveUpEntry(Cpu cpu, SwapEntry entry, int pfn, bool write, bool keepInMemory)
    {
        if (write && IsCached(pfn) && !HasFlag(pfn, PageFlags.Lru))
        {
            Machine.Lru.Drain(cpu);
        }

        Free(cpu, entry);
        const int cacheAndCaller = 2;
        if (IsCached(pfn) && (IsHalfFull || keepInMemory || HasFlag(pfn, PageFlags.Mlocked) || (write && _frames[pfn].RefCount == cacheAndCaller)) && TryLock(pfn))
        {
            _ = TryFreeSlot(cpu, pfn);
            Unlock(pfn);
        }

        return _frames[pfn].RefCount == 1;
    }

    /// <summary>Looks an entry up in the swap cache, takes a reference, and notes whether read-ahead was right (<c>lookup_swap_cache()</c>).</summary>
    private int LookUp(SwapEntry entry, ISwapNeighbours near, ulong address)
    {
        int pfn;
        using (Enter())
        {
            pfn = _areas[entry.Type]!.CachedPage(entry.Offset);
            if (pfn < 0)
            {
                return -1;
            }

            Machine.Frames.AddReferences(pfn, 1);
        }

        bool ahead = !HasFlag(pfn, PageFlags.Writeback) && HasFlag(pfn, PageFlags.Reclaim) && (ClearFlags(pfn, PageFlags.Reclaim) & PageFlags.Reclaim) != 0;
        NoteHit(near, address, ahead);
        return pfn;
    }

    /// <summary>Reads a page past the swap cache: no other entry names its slot, and the CPU waits anyway.</summary>
    private SwapInOutcome ReadPrivately(Cpu cpu, SwapArea area, SwapEntry entry, ISwapNeighbours near, ulong address, out int pfn)
    {
        pfn = near.AllocatePage(cpu, address);
        if (pfn < 0 || !ChargeForRead(cpu, area, entry, near, pfn))
        {
            pfn = -1;
            return SwapInOutcome.NoMemory;
        }

        // Reclaim may have run: the page of this very entry cannot have changed, but the entry may be gone.
        if (area.UseOf(entry.Offset) != 1)
        {
            Machine.Lru.Put(cpu, pfn);
            pfn = -1;
            return SwapInOutcome.Gone;
        }

        SetFlags(pfn, PageFlags.Locked | PageFlags.SwapBacked);
        long shadow = area.ShadowOf(entry.Offset);
        if (shadow != 0)
        {
            Machine.Lru.Refault(cpu, pfn, shadow);
        }

        Machine.Lru.Add(cpu, pfn);
        return ReadLocked(cpu, area, entry.Offset, pfn) ? SwapInOutcome.Read : SwapInOutcome.Failed;
    }

    /// <summary>Finds a page in the cache, or puts a new one there and reads it (<c>read_swap_cache_async()</c>).</summary>
    private SwapInOutcome ReadIntoCache(Cpu cpu, SwapEntry entry, ISwapNeighbours near, ulong address, out int pfn)
    {
        SwapInOutcome outcome = AddNewToCache(cpu, entry, near, address, out pfn, out SwapArea? area);
        return outcome != SwapInOutcome.Read ? outcome : ReadLocked(cpu, area!, entry.Offset, pfn) ? SwapInOutcome.Read : SwapInOutcome.Failed;
    }

    /// <summary>Finds a page in the cache, or puts a new one there, locked, to be filled.</summary>
    private SwapInOutcome AddNewToCache(Cpu cpu, SwapEntry entry, ISwapNeighbours near, ulong address, out int pfn, out SwapArea? area)
    {
        if (!IsInUse(entry, out area))
        {
            pfn = -1;
            return SwapInOutcome.Gone;
        }

        pfn = area.CachedPage(entry.Offset);
        if (pfn >= 0)
        {
            Machine.Frames.AddReferences(pfn, 1);
            return SwapInOutcome.Found;
        }

        int page = near.AllocatePage(cpu, address);
        if (page < 0 || !ChargeForRead(cpu, area, entry, near, page))
        {
            pfn = -1;
            return SwapInOutcome.NoMemory;
        }

        // Reclaim, or another CPU, may have been here meanwhile.
        SwapInOutcome outcome;
        long shadow = 0;
        using (Enter())
        {
            pfn = area.IsOn ? area.CachedPage(entry.Offset) : -1;
            int use = area.IsOn ? area.UseOf(entry.Offset) : 0;
            if (pfn >= 0)
            {
                Machine.Frames.AddReferences(pfn, 1);
                outcome = SwapInOutcome.Found;
            }
            else if (use is 0 or >= SwapArea.HasCache)
            {
                outcome = SwapInOutcome.Gone;
            }
            else
            {
                shadow = area.ShadowOf(entry.Offset);
                SetFlags(page, PageFlags.Locked | PageFlags.SwapBacked);
                area.SetUse(entry.Offset, use | SwapArea.HasCache);
                AddToCache(area, entry, page);
                pfn = page;
                outcome = SwapInOutcome.Read;
            }
        }

        if (outcome != SwapInOutcome.Read)
        {
            Machine.Lru.Put(cpu, page);
            return outcome;
        }

        if (shadow != 0)
        {
            Machine.Lru.Refault(cpu, page, shadow);
        }

        Machine.Lru.Add(cpu, page);
        return outcome;
    }

    /// <summary>Fills a locked page from its slot and unlocks it; a page that could not be read is not up to date (<c>swap_readpage()</c>).</summary>
    private bool ReadLocked(Cpu cpu, SwapArea area, long slot, int pfn)
    {
        if (TryReadFromMemory(cpu, area, slot, pfn, out bool done))
        {
            return done;
        }

        _events.Count(VmEvent.SwapIn);
        _events.Count(VmEvent.SwapReads, _reads.Begins(new SwapEntry(area.Type, slot), area.Backing.IsSynchronous) ? 1 : 0);
        CountForCgroup(pfn, Cgroups.CgroupStat.SwapIn);
        bool read = area.Backing.Read(cpu, slot, pfn) == Errno.None;
        _events.Count(VmEvent.PagesIn, area.Backing.IsSynchronous ? 0 : KiBPerPage);
        area.PagesRead += read ? 1 : 0;
        area.ReadErrors += read ? 0 : 1;
        SetFlags(pfn, read ? PageFlags.UpToDate : PageFlags.Error);
        Unlock(pfn);
        return read;
    }

    private bool IsInUse(SwapEntry entry, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out SwapArea? area)
    {
        area = AreaOrNull(entry.Type);
        if (area is null || entry.Offset >= area.Slots || area.UseOf(entry.Offset) == 0)
        {
            area = null;
            return false;
        }

        return true;
    }
}
