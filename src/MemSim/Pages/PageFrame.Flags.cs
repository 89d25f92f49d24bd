using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace MemSim.Pages;

/// <content>The flags as words of the field: one spelling each, whatever bits they are. Nobody else sees the bits.</content>
internal partial struct PageFrame
{
    /// <summary><c>PG_anon_exclusive</c>: an anonymous page that one address space alone maps; shares the bit of <c>PG_mappedtodisk</c>. Of a huge page each part has its own.</summary>
    public const PageFlags AnonExclusive = PageFlags.MappedToDisk;

    private const PageFlags InSwapCacheFlags = PageFlags.OwnerPrivate1 | PageFlags.SwapBacked;

    /// <summary>The flags that are stored.</summary>
    public readonly PageFlags StoredFlags
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => (PageFlags)(_flagsAndZone & (uint)PageFlags.StoredMask);
    }

    /// <summary>The flags that name its list, with its zone: the same for all pages of a zone and list.</summary>
    public readonly uint ListKey
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _flagsAndZone & (~0u << ZoneShift | (uint)(PageFlags.SwapBacked | PageFlags.Active | PageFlags.Unevictable));
    }

    /// <summary><c>PG_locked</c>.</summary>
    public readonly bool IsLocked => Has(PageFlags.Locked);

    /// <summary><c>PG_dirty</c>.</summary>
    public readonly bool IsDirty => Has(PageFlags.Dirty);

    /// <summary><c>PG_referenced</c>.</summary>
    public readonly bool IsReferenced => Has(PageFlags.Referenced);

    /// <summary><c>PG_lru</c>: on an LRU list, or in a batch on its way to another.</summary>
    public readonly bool IsOnLru => Has(PageFlags.Lru);

    /// <summary><c>PG_active</c>.</summary>
    public readonly bool IsActive => Has(PageFlags.Active);

    /// <summary><c>PG_unevictable</c>.</summary>
    public readonly bool IsUnevictable => Has(PageFlags.Unevictable);

    /// <summary><c>PG_mlocked</c>.</summary>
    public readonly bool IsMlocked => Has(PageFlags.Mlocked);

    /// <summary><c>PG_writeback</c>.</summary>
    public readonly bool IsUnderWriteback => Has(PageFlags.Writeback);

    /// <summary><c>PG_reclaim</c>: to be reclaimed once it is written.</summary>
    public readonly bool IsToBeReclaimed => Has(PageFlags.Reclaim);

    /// <summary><c>PG_workingset</c>.</summary>
    public readonly bool IsWorkingset => Has(PageFlags.WorkingSet);

    /// <summary><c>PG_slab</c>.</summary>
    public readonly bool IsSlab => Has(PageFlags.Slab);

    /// <summary><c>PG_head</c>: the first page of a compound one.</summary>
    public readonly bool IsCompoundHead => Has(PageFlags.Head);

    /// <summary><c>PG_reserved</c>.</summary>
    public readonly bool IsReserved => Has(PageFlags.Reserved);

    /// <summary><c>PG_swapbacked</c>: anonymous or shared memory, not lazily freed.</summary>
    public readonly bool IsSwapBacked => Has(PageFlags.SwapBacked);

    /// <summary>Whether it has a slot in swap (<c>folio_test_swapcache()</c>).</summary>
    public readonly bool InSwapCache => HasAll(InSwapCacheFlags);

    /// <summary>Whether one address space has it alone (<c>PageAnonExclusive()</c>).</summary>
    public readonly bool IsAnonExclusive => Has(AnonExclusive);

    /// <summary>Whether it is anonymous memory (<c>folio_test_anon()</c>).</summary>
    public readonly bool IsAnonymous => MappingTable.IsAnonymous(Mapping);

    /// <summary>Whether it belongs to a file, or to what is kept like one.</summary>
    public readonly bool IsOfFile => Mapping != 0 && !IsAnonymousOrMovable;

    /// <summary>Whether its owner is neither a file nor nobody.</summary>
    public readonly bool IsAnonymousOrMovable => (Mapping & (MappingTable.Anonymous | MappingTable.Movable)) != 0;

    /// <summary>Whether it was merged with equal ones (<c>PageKsm()</c>).</summary>
    public readonly bool IsMerged => (Mapping & MappingTable.Merged) == MappingTable.Merged;

    /// <summary>Whether it is a driver's that can move it (<c>__PageMovable()</c>).</summary>
    public readonly bool IsDriverMovable => IsMovableMapping(Mapping);

    public static bool IsMovableMapping(uint mapping) => (mapping & (MappingTable.Anonymous | MappingTable.Movable)) == MappingTable.Movable;

    /// <summary>Whether it has flags that no page may have when it is freed, or an owner.</summary>
    public readonly bool IsHeldByFlagsOrOwner
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ((_flagsAndZone & CheckAtFree) | Mapping) != 0;
    }

    /// <summary>Those of its flags that no page may have when it is freed.</summary>
    public readonly PageFlags FlagsThatForbidFreeing => (PageFlags)(_flagsAndZone & CheckAtFree);

    /// <summary>Whether any of these flags is set.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly bool Has(PageFlags any) => (_flagsAndZone & (uint)any) != 0;

    /// <summary>Whether all of these flags are set.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly bool HasAll(PageFlags all) => Is(all, all);

    /// <summary>Whether of some flags exactly these are set.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly bool Is(PageFlags set, PageFlags of)
    {
        Debug.Assert((set & ~of) == 0, "what is asked for is among what is looked at");
        return (_flagsAndZone & (uint)of) == (uint)set;
    }

    /// <summary>Sets flags of a frame that nobody else can change now.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Set(PageFlags flags)
    {
        Debug.Assert((flags & ~PageFlags.StoredMask) == 0, "derived flags are not set");
        _flagsAndZone |= (uint)flags;
    }

    /// <summary>Clears flags of a frame that nobody else can change now.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Clear(PageFlags flags)
    {
        Debug.Assert((flags & ~PageFlags.StoredMask) == 0, "derived flags are not cleared");
        _flagsAndZone &= ~(uint)flags;
    }

    /// <summary>Sets flags; in one step for all host threads where other CPUs may change the frame.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Set(PageFlags flags, bool shared)
    {
        if (shared)
        {
            Debug.Assert((flags & ~PageFlags.StoredMask) == 0, "derived flags are not set");
            Interlocked.Or(ref _flagsAndZone, (uint)flags);
        }
        else
        {
            Set(flags);
        }
    }

    /// <summary>Clears flags; in one step for all host threads where other CPUs may change the frame.</summary>
    /// <returns>The flags before.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public PageFlags Clear(PageFlags flags, bool shared)
    {
        Debug.Assert((flags & ~PageFlags.StoredMask) == 0, "derived flags are not cleared");
        if (shared)
        {
            return (PageFlags)(Interlocked.And(ref _flagsAndZone, ~(uint)flags) & (uint)PageFlags.StoredMask);
        }

        PageFlags before = StoredFlags;
        Clear(flags);
        return before;
    }

    /// <summary>Clears flags.</summary>
    /// <returns>Whether this call did it: one was set before, and no other CPU was faster.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TestClear(PageFlags flags, bool shared) => Has(flags) && (Clear(flags, shared) & flags) != 0;

    /// <summary>Locks the page if nobody has (<c>folio_trylock()</c>).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryLock(bool shared)
    {
        Debug.Assert(_refOrder >= OneReference, "who locks a page holds it");
        if (IsLocked)
        {
            return false;
        }

        if (shared)
        {
            return (Interlocked.Or(ref _flagsAndZone, (uint)PageFlags.Locked) & (uint)PageFlags.Locked) == 0;
        }

        Set(PageFlags.Locked);
        return true;
    }

    /// <summary>Gives the lock back (<c>folio_unlock()</c>).</summary>
    public void Unlock(bool shared)
    {
        Debug.Assert(IsLocked, "who unlocks a page has it locked");
        Clear(PageFlags.Locked, shared);
    }

    /// <summary>Says which zone the frame is of, and that it has these flags and no others.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Begin(int zoneId, PageFlags flags = PageFlags.None) => _flagsAndZone = ZoneBits(zoneId) | (uint)(flags & PageFlags.StoredMask);

    /// <summary>Leaves nothing of its flags and its owner's word, only its zone.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void KeepOnlyZone() => Identity = _flagsAndZone & ~(uint)PageFlags.StoredMask;
}
