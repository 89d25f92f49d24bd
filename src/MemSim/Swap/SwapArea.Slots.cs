using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace MemSim;

/// <content>What is known of each slot: how many entries name it, and which page of the swap cache holds it.</content>
public sealed partial class SwapArea
{
    internal const int HeaderSlots = 1;

    /// <summary>The slot's page is, or is about to be, in the swap cache (<c>SWAP_HAS_CACHE</c>).</summary>
    internal const int HasCache = 1 << 30;

    internal const int CountMask = HasCache - 1;

    /// <summary>Slots whose figures are kept together, as one <c>swapper_space</c> covers 64 MiB.</summary>
    private const int ChunkShift = 14;

    private const int ChunkSlots = 1 << ChunkShift;

    private readonly int[]?[] _map;
    private readonly long[]?[] _cache;
    private readonly ushort[]?[] _owners;
    private readonly ulong[]?[] _zeroes;
    private long _lowest;
    private long _highest;

    /// <summary>The use of a slot: how many entries name it, and <see cref="HasCache"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal int UseOf(long slot) => _map[slot >> ChunkShift] is { } map ? map[slot & (ChunkSlots - 1)] : 0;

    /// <summary>How many entries name a slot.</summary>
    internal int CountOf(long slot) => UseOf(slot) & CountMask;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void SetUse(long slot, int use)
    {
        Debug.Assert(slot >= HeaderSlots && slot < Slots && use >= 0, "a slot of the area, and no count below nothing");
        _map[slot >> ChunkShift]![slot & (ChunkSlots - 1)] = use;
    }

    /// <summary>What the swap cache has for a slot: 0 nothing, else a page or a shadow.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal long CacheEntryOf(long slot) => _cache[slot >> ChunkShift] is { } cache ? cache[slot & (ChunkSlots - 1)] : 0;

    /// <summary>The page that the swap cache holds for a slot, or -1.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal int CachedPage(long slot)
    {
        long entry = CacheEntryOf(slot);
        return entry != 0 && (entry & 1) == 0 ? (int)(entry >> 1) - 1 : -1;
    }

    /// <summary>The shadow of the page that was reclaimed from a slot, or 0.</summary>
    internal long ShadowOf(long slot)
    {
        long entry = CacheEntryOf(slot);
        return (entry & 1) != 0 ? entry : 0;
    }

    internal void SetCachedPage(long slot, int pfn)
    {
        Debug.Assert((UseOf(slot) & HasCache) != 0 && pfn >= 0, "the slot is marked for the swap cache");
        SetCacheEntry(slot, ((long)pfn + 1) << 1);
    }

    /// <summary>Leaves a shadow, whose lowest bit is set, or nothing.</summary>
    internal void SetShadow(long slot, long shadow) => SetCacheEntry(slot, shadow);

    private void SetCacheEntry(long slot, long entry)
    {
        ref long place = ref _cache[slot >> ChunkShift]![slot & (ChunkSlots - 1)];
        if (_nodes is not null && place != entry)
        {
            UpdateNode(slot, place, entry);
        }

        place = entry;
    }

    /// <summary>The cgroup that a slot is charged to, by number; 0 for none (<c>lookup_swap_cgroup_id()</c>).</summary>
    internal int OwnerOf(long slot) => _owners[slot >> ChunkShift] is { } owners ? owners[slot & (ChunkSlots - 1)] : 0;

    internal void SetOwner(long slot, int owner)
    {
        ref ushort[]? owners = ref _owners[slot >> ChunkShift];
        if (owner != 0 || owners is not null)
        {
            owners ??= new ushort[ChunkSlots];
            owners[slot & (ChunkSlots - 1)] = (ushort)owner;
        }
    }

    /// <summary>Counts the slots charged to each cgroup.</summary>
    internal void CountOwners(long[] slots)
    {
        foreach (ushort[]? owners in _owners)
        {
            for (int i = 0; owners is not null && i < owners.Length; i++)
            {
                slots[owners[i]]++;
            }
        }
    }

    /// <summary>Whether the slot's page is all zeroes and was never written (<c>zeromap</c>).</summary>
    internal bool IsZero(long slot) => _zeroes[slot >> ChunkShift] is { } zeroes && (zeroes[(slot & (ChunkSlots - 1)) / 64] >> (int)(slot % 64) & 1) != 0;

    internal void SetZero(long slot, bool zero)
    {
        ref ulong[]? zeroes = ref _zeroes[slot >> ChunkShift];
        if (!zero && zeroes is null)
        {
            return;
        }

        zeroes ??= new ulong[ChunkSlots / 64];
        ref ulong word = ref zeroes[(slot & (ChunkSlots - 1)) / 64];
        ulong bit = 1UL << (int)(slot % 64);
        word = zero ? word | bit : word & ~bit;
    }

    /// <summary>Takes a slot into use (<c>swap_range_alloc()</c>).</summary>
    private void Take(long slot, int use)
    {
        int chunk = (int)(slot >> ChunkShift);
        _map[chunk] ??= new int[ChunkSlots];
        _cache[chunk] ??= new long[ChunkSlots];
        Debug.Assert(UseOf(slot) == 0 && slot >= HeaderSlots && slot < Slots, "a slot of the area that nobody uses");
        SetUse(slot, use);
        TakeFromCluster(slot);
        _lowest += slot == _lowest ? 1 : 0;
        _highest -= slot == _highest ? 1 : 0;
        if (++UsedPages == Pages)
        {
            _lowest = Slots;
            _highest = 0;
        }

        Debug.Assert(UsedPages <= Pages && OwnerOf(slot) == 0, "no more are used than there are, and nobody pays for it yet");
    }

    /// <summary>Gives back a slot that nothing uses any more (<c>swap_range_free()</c>).</summary>
    internal void Release(long slot)
    {
        Debug.Assert(UseOf(slot) != 0 && CachedPage(slot) < 0, "a slot in use, whose page has left the swap cache");
        SetUse(slot, 0);
        SetShadow(slot, 0);
        SetZero(slot, false);
        if (OwnerOf(slot) is int owner and not 0)
        {
            SetOwner(slot, 0);
            _space.Machine.Cgroups.UnchargeSlot(owner);
        }

        _lowest = Math.Min(_lowest, slot);
        _highest = Math.Max(_highest, slot);
        UsedPages--;
        ReturnToCluster(slot);
        Debug.Assert(UsedPages >= 0 && CacheEntryOf(slot) == 0 && OwnerOf(slot) == 0, "no more are given back than were taken, and nothing of the slot is left");
    }
}
