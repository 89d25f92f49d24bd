using System.Diagnostics;
using System.Runtime.CompilerServices;
using MemSim.Hardware;
using MemSim.PageCache;
using MemSim.Pages;

namespace MemSim;

/// <content>The swap cache: pages that have a slot.</content>
public sealed partial class SwapSpace
{
    /// <summary>Whether a page is in the swap cache (<c>folio_test_swapcache()</c>).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool IsCached(int pfn) => _frames[pfn].InSwapCache && IsHeld(pfn);

    /// <summary>Whether the swap cache knows the page, too: flags and the owner's word may be anybody's.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool IsHeld(int pfn) => Peek(EntryOf(pfn)) == pfn;

    /// <summary>The slot of a page in the swap cache (<c>folio_swap_entry()</c>).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal SwapEntry EntryOf(int pfn) => SwapEntry.FromWord(_frames[pfn].Private);

    /// <summary>The page that the swap cache holds for an entry, or -1; no reference is taken.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal int Peek(SwapEntry entry) => AreaOrNull(entry.Type) is { } area && entry.Offset < area.Slots ? area.CachedPage(entry.Offset) : -1;

    /// <summary>Gives a locked anonymous page a slot and puts it into the swap cache, dirty (<c>add_to_swap()</c>).</summary>
    /// <returns>False when there is no slot, or the page is part of a compound one, which must be split first.</returns>
    internal bool AddToSwap(Cpu cpu, int pfn)
    {
        if (_frames[pfn].Order != 0 || IsCached(pfn))
        {
            return false;
        }

        SwapEntry entry = TakeSlotFor(cpu, pfn);
        DropReleased(cpu);
        if (entry.IsNone)
        {
            return false;
        }

        using LockScope scope = Enter();
        AddToCache(_areas[entry.Type]!, entry, pfn);
        SetFlags(pfn, PageFlags.Dirty);
        return true;
    }

    /// <summary>Takes a locked page out of the swap cache when no entry names its slot, which is free then (<c>folio_free_swap()</c>). The page is dirty after that: nothing else holds its contents.</summary>
    internal bool TryFreeSlot(Cpu cpu, int pfn)
    {
        bool freed = TryFreeSlotHere(pfn);
        DropReleased(cpu);
        return freed;
    }

    /// <summary>The same, for who holds the lock: what was kept of the slot goes later.</summary>
    private bool TryFreeSlotHere(int pfn)
    {
        if (!IsCached(pfn) || HasFlag(pfn, PageFlags.Writeback))
        {
            return false;
        }

        using LockScope scope = Enter();
        SwapEntry entry = EntryOf(pfn);
        SwapArea area = _areas[entry.Type]!;
        if (area.CountOf(entry.Offset) != 0)
        {
            return false;
        }

        TakeFromCache(area, entry, pfn, 0);
        DropCache(area, entry.Offset);
        SetFlags(pfn, PageFlags.Dirty);
        Machine.Frames.AddReferences(pfn, -1);
        return true;
    }

    /// <summary>Takes a clean, unmapped, locked page that only the swap cache and the caller hold out of the cache, leaving a shadow (<c>__remove_mapping()</c>).</summary>
    internal bool RemoveFromCache(Cpu cpu, int pfn)
    {
        bool removed = TryRemove(cpu, pfn);
        DropReleased(cpu);
        return removed;
    }

    private bool TryRemove(Cpu cpu, int pfn)
    {
        const int cacheAndCaller = 2;
        using LockScope scope = Enter();
        if (!IsCached(pfn) || _frames[pfn].RefCount != cacheAndCaller || HasFlag(pfn, PageFlags.Dirty | PageFlags.Writeback))
        {
            return false;
        }

        SwapEntry entry = EntryOf(pfn);
        SwapArea area = _areas[entry.Type]!;
        TakeFromCache(area, entry, pfn, Machine.Lru.EvictionShadow(cpu, pfn));
        DropCache(area, entry.Offset);
        Machine.Frames.AddReferences(pfn, -1);
        return true;
    }

    /// <summary>Gives a page's slot, and the cache's reference, to another page (<c>folio_migrate_mapping()</c>).</summary>
    /// <param name="from">The page, mapped nowhere.</param>
    /// <param name="to">The page that takes its place.</param>
    /// <returns>False when somebody besides the cache and the caller holds it.</returns>
    internal bool MoveInCache(int from, int to)
    {
        const int cacheAndCaller = 2;
        using LockScope scope = Enter();
        ref PageFrame source = ref _frames[from];
        if (!IsCached(from) || source.RefCount != cacheAndCaller || source.MapCount != 0 || HasFlag(from, PageFlags.Writeback))
        {
            return false;
        }

        ref PageFrame target = ref _frames[to];
        SwapEntry entry = EntryOf(from);
        target.Mapping = source.Mapping;
        target.Index = source.Index;
        target.Private = entry.Word;
        SetFlags(to, PageFlags.SwapBacked | PageFlags.OwnerPrivate1 | (source.StoredFlags & PageFlags.Dirty));
        ClearFlags(from, PageFlags.OwnerPrivate1 | PageFlags.Dirty);
        source.Private = 0;
        _areas[entry.Type]!.SetCachedPage(entry.Offset, to);
        Count(from, -1);
        Count(to, 1);
        Machine.Frames.AddReferences(to, 1);
        Machine.Frames.AddReferences(from, -1);
        Debug.Assert(IsCached(to) && !IsCached(from) && EntryOf(to) == entry, "slot and new page name each other");
        return true;
    }

    /// <summary>Gives a locked page of shared memory a slot, named by one entry, and puts it into the swap cache; the caller takes it out of its mapping.</summary>
    /// <returns>The entry; none when there is no slot.</returns>
    internal SwapEntry MoveToCache(Cpu cpu, int pfn)
    {
        SwapEntry entry = _frames[pfn].Order == 0 ? TakeSlotFor(cpu, pfn) : default;
        DropReleased(cpu);
        if (!entry.IsNone)
        {
            using LockScope scope = Enter();
            SwapArea area = _areas[entry.Type]!;
            Debug.Assert(area.UseOf(entry.Offset) == SwapArea.HasCache, "the slot was just taken for the swap cache");
            area.SetUse(entry.Offset, SwapArea.HasCache | 1);
            AddToCache(area, entry, pfn);
            SetFlags(pfn, PageFlags.Dirty);
        }

        return entry;
    }

    /// <summary>Puts a page of the swap cache back into its mapping; its slot is free then.</summary>
    /// <returns>False when the entry is not there any more, or somebody has locked the page.</returns>
    internal bool MoveFromCache(Cpu cpu, FileMapping mapping, int pfn, uint index, SwapEntry entry)
    {
        if (!TryLock(pfn))
        {
            return false;
        }

        WaitForWrite(cpu, pfn);
        bool moved = IsCached(pfn) && EntryOf(pfn) == entry && mapping.AddForSwapEntry(cpu, pfn, index, entry.Word);
        if (moved)
        {
            using LockScope scope = Enter();
            SwapArea area = _areas[entry.Type]!;
            TakeFromCache(area, entry, pfn, 0);
            DropCache(area, entry.Offset);
            DropUse(area, entry);
            Machine.Frames.AddReferences(pfn, -1);
            SetFlags(pfn, PageFlags.Dirty);
        }

        DropReleased(cpu);
        Unlock(pfn);
        return moved;
    }

    /// <summary>Puts a page into the cache under a slot that is marked for it; the cache takes a reference (<c>add_to_swap_cache()</c>).</summary>
    private void AddToCache(SwapArea area, SwapEntry entry, int pfn)
    {
        Debug.Assert(!IsCached(pfn) && _frames[pfn].IsLocked && area.CachedPage(entry.Offset) < 0 && (area.UseOf(entry.Offset) & SwapArea.HasCache) != 0, "a locked page without a slot gets one that is marked for it");
        Machine.Frames.AddReferences(pfn, 1);
        _frames[pfn].Private = entry.Word;
        SetFlags(pfn, PageFlags.OwnerPrivate1 | PageFlags.SwapBacked);
        area.SetCachedPage(entry.Offset, pfn);
        Count(pfn, 1);
        Debug.Assert(IsCached(pfn) && EntryOf(pfn) == entry && area.CachedPage(entry.Offset) == pfn, "slot and page name each other");
    }

    /// <summary>Takes a page out of the cache; its slot and the cache's reference are the caller's (<c>__delete_from_swap_cache()</c>).</summary>
    private void TakeFromCache(SwapArea area, SwapEntry entry, int pfn, long shadow)
    {
        Debug.Assert(IsCached(pfn) && area.CachedPage(entry.Offset) == pfn, "slot and page name each other");
        area.SetShadow(entry.Offset, shadow);
        ClearFlags(pfn, PageFlags.OwnerPrivate1);
        _frames[pfn].Private = 0;
        Count(pfn, -1);
        Debug.Assert(CachedPages >= 0 && !IsCached(pfn) && area.CachedPage(entry.Offset) < 0, "neither names the other, and no more pages leave than came");
    }

    private void Count(int pfn, int change)
    {
        NodeCounters counters = _countersByZone[_frames[pfn].ZoneId];
        counters.FilePages += change;
        counters.SwapCached += change;
        CachedPages += change;
    }

    private bool HasFlag(int pfn, PageFlags flags) => _frames[pfn].Has(flags);

    private void SetFlags(int pfn, PageFlags flags) => Machine.Lru.SetFlags(ref _frames[pfn], flags);

    private PageFlags ClearFlags(int pfn, PageFlags flags) => Machine.Lru.ClearFlags(ref _frames[pfn], flags);

    /// <summary>Locks a page if nobody has (<c>folio_trylock()</c>).</summary>
    private bool TryLock(int pfn) => _frames[pfn].TryLock(_lock is not null);

    private void Unlock(int pfn) => _frames[pfn].Unlock(_lock is not null);
}
