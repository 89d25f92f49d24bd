using System.Diagnostics;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace MemSim.Hardware;

/// <summary>A TLB entry. <see cref="Serial"/> is unique in the CPU and 0 while the entry is free.</summary>
/// <remarks>24 bytes: those of a second level then cost the host little more than its tags do.</remarks>
internal struct TlbEntry
{
    public ulong Serial;
    public ulong Base;

    /// <summary>The address space, or <see cref="AnySpace"/>.</summary>
    public int Asid;
    public ushort Permissions;

    /// <summary>log2 of the size of the page.</summary>
    public byte Shift;

    /// <summary>log2 of the size of the page this entry is a fragment of; its own size if it is whole.</summary>
    public byte PageShift;

    /// <summary>The space of a global entry.</summary>
    public const int AnySpace = -1;

    /// <summary>Asked for: entries of whatever space.</summary>
    public const int EverySpace = -2;
}

/// <summary>One level of TLB: set-associative arrays for one or several page sizes, their entries in one piece.</summary>
/// <remarks>Tags and times of use lie in arrays of their own: a look at a set reads its tags four at a time, a choice of what to give up its times, nothing else.</remarks>
internal sealed class TlbLevel
{
    public readonly TlbEntry[] Entries;

    /// <summary>When entries were used last.</summary>
    public readonly long[] Stamps;

    // 0 while the entry is free; a few more than entries, for looks that read four at a time.
    private readonly ulong[] _tags;
    private readonly Bank[] _banks;
    private readonly (int Bank, int Shift)[] _bankOf = new (int, int)[64];
    private readonly TlbReplacement _replacement;

    // The page sizes that have been put in so far: others need not be looked for.
    private Probe[] _probes = [];
    private ulong _shiftsInUse;
    private uint _random;
    private bool _hasFragments;

    // Entries in use, and the one put in last: most flushes of a walk cache meet none, or that one alone.
    private int _used;
    private int _newest;

    public TlbLevel(IReadOnlyList<TlbArray> arrays, PageWalker walker, TlbReplacement replacement, uint seed)
        : this([.. arrays.Select(a => (a.Sets, a.Ways, a.Sizes.Select(s => (int)s).Where(s => Exists(walker, s)).ToArray()))], replacement, seed)
    {
    }

    public TlbLevel((int Sets, int Ways, int[] Shifts)[] arrays, TlbReplacement replacement, uint seed)
    {
        _replacement = replacement;
        _random = seed == 0 ? 1 : seed;
        _banks = new Bank[arrays.Length];
        int first = 0;
        for (int i = 0; i < arrays.Length; i++)
        {
            (int sets, int ways, int[] shifts) = arrays[i];
            _banks[i] = new Bank(first, sets, ways, shifts, replacement == TlbReplacement.TreeLru ? new uint[sets] : []);
            first += sets * ways;
        }

        Entries = new TlbEntry[first];
        Stamps = new long[first];
        _tags = new ulong[first + Vector256<ulong>.Count - 1];
        for (int pageShift = 0; pageShift < 64; pageShift++)
        {
            _bankOf[pageShift] = BankOf(pageShift);
        }
    }

    public bool IsEmpty => _banks.Length == 0;

    /// <summary>Whether an entry may be part of a larger page, so that entries of other addresses go with it.</summary>
    public bool HasFragments => _hasFragments;

    /// <summary>The slot of an entry for an address; -1 without one.</summary>
    /// <remarks>Not inlined: callers would keep too many values on the stack.</remarks>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public int Find(ulong address, int asid)
    {
        foreach (ref readonly Probe probe in _probes.AsSpan())
        {
            ulong page = address >> probe.Shift;
            ulong tag = (page << probe.Shift) | (uint)probe.Shift;
            int slot = probe.First + ((int)(page & probe.SetMask) * probe.Ways);
            Vector256<ulong> wanted = Vector256.Create(tag);

            // In range: a set lies within the tags, and a last look may go three tags beyond; a tag is only ever found in the set it belongs to.
            ref ulong first = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(_tags), slot);
            for (int way = 0; way < probe.Ways; way += Vector256<ulong>.Count)
            {
                uint same = Vector256.Equals(Vector256.LoadUnsafe(ref first, (nuint)(uint)way), wanted).ExtractMostSignificantBits();
                for (; same != 0; same &= same - 1)
                {
                    int found = slot + way + BitOperations.TrailingZeroCount(same);
                    int space = Entries[found].Asid;
                    if (space == asid || space == TlbEntry.AnySpace || asid == TlbEntry.EverySpace)
                    {
                        return found;
                    }
                }
            }
        }

        return -1;
    }

    /// <summary>Notes that an entry was used.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Touch(int slot, long now)
    {
        Stamps[slot] = now;
        if (_replacement == TlbReplacement.TreeLru)
        {
            TouchTree(slot);
        }
    }

    /// <summary>Puts a page in, giving up another entry if need be.</summary>
    /// <returns>The slot; -1 when no array holds pages of that size or smaller.</returns>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public int Insert(ulong address, ulong pageBase, int pageShift, uint permissions, int asid, ulong serial, long now)
    {
        (int bankIndex, int shift) = _bankOf[pageShift];
        if (bankIndex < 0)
        {
            return -1;
        }

        if ((_shiftsInUse & (1UL << shift)) == 0)
        {
            LookFor(shift);
        }

        ref readonly Bank bank = ref _banks[bankIndex];
        int set = (int)((address >> shift) & bank.SetMask);
        int space = (permissions & Permission.Global) != 0 ? TlbEntry.AnySpace : asid;
        ulong tag = (address >> shift << shift) | (uint)shift;
        int slot = Victim(bank, set, tag, space);
        ref TlbEntry entry = ref Entries[slot];
        _tags[slot] = tag;
        _used += entry.Serial == 0 ? 1 : 0;
        _newest = slot;
        entry.Base = pageBase + (address & ((1UL << pageShift) - 1) & ~((1UL << shift) - 1));
        entry.Serial = serial;
        entry.Permissions = (ushort)permissions;
        entry.Asid = space;
        entry.Shift = (byte)shift;
        entry.PageShift = (byte)pageShift;
        _hasFragments |= shift != pageShift;
        Touch(slot, now);
        return slot;
    }

    /// <summary>Flushes the page of an address from an address space (or <see cref="TlbEntry.EverySpace"/>), global entries too.</summary>
    public void FlushPage(ulong address, int asid)
    {
        if (_used == 0)
        {
            return;
        }

        for (int slot = Find(address, asid); slot >= 0; slot = Find(address, asid))
        {
            Free(slot);
        }

        if (_hasFragments)
        {
            for (int slot = 0; slot < Entries.Length; slot++)
            {
                ref TlbEntry entry = ref Entries[slot];
                if (entry.Shift != entry.PageShift && (_tags[slot] ^ address) >> entry.PageShift == 0 && (entry.Asid == asid || entry.Asid == TlbEntry.AnySpace || asid == TlbEntry.EverySpace))
                {
                    Free(slot);
                }
            }
        }
    }

    /// <summary>Flushes an address space except its global entries.</summary>
    public void FlushSpace(int asid)
    {
        for (int slot = NextUsed(0); slot < Entries.Length; slot = NextUsed(slot + 1))
        {
            if (Entries[slot].Asid == asid)
            {
                Free(slot);
            }
        }
    }

    public void FlushAll(bool global)
    {
        if (global && _used == 1 && Entries[_newest].Serial != 0)
        {
            Free(_newest);
        }

        for (int slot = _used == 0 ? Entries.Length : NextUsed(0); slot < Entries.Length; slot = NextUsed(slot + 1))
        {
            if (global || Entries[slot].Asid != TlbEntry.AnySpace)
            {
                Free(slot);
            }
        }

        _hasFragments &= !global;
    }

    /// <summary>The entries in use.</summary>
    public IEnumerable<TlbEntryInfo> Describe(string name)
    {
        for (int slot = 0; slot < Entries.Length; slot++)
        {
            TlbEntry entry = Entries[slot];
            if (entry.Serial != 0)
            {
                ulong page = _tags[slot] >> entry.Shift << entry.Shift;
                yield return new TlbEntryInfo(name, slot, new VirtualAddress(page), new PhysicalAddress(entry.Base), ByteSize.FromKiB(1UL << (entry.Shift - 10)), entry.Asid == TlbEntry.AnySpace);
            }
        }
    }

    public int Count()
    {
        int count = 0;
        foreach (ref TlbEntry entry in Entries.AsSpan())
        {
            count += entry.Serial != 0 ? 1 : 0;
        }

        return count;
    }

    private static bool Exists(PageWalker walker, int shift)
    {
        for (int level = 1; level <= Math.Min(3, walker.Levels); level++)
        {
            if (walker.Shift(level) == shift)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The array for a page: that of its size, or of the largest smaller one.</summary>
    private (int Bank, int Shift) BankOf(int pageShift)
    {
        (int Bank, int Shift) best = (-1, 0);
        for (int i = 0; i < _banks.Length; i++)
        {
            foreach (int candidate in _banks[i].Shifts)
            {
                if (candidate <= pageShift && candidate > best.Shift)
                {
                    best = (i, candidate);
                }
            }
        }

        return best;
    }

    /// <summary>From now on pages of a size are looked for; arrays and their sizes in the order they are given.</summary>
    private void LookFor(int added)
    {
        _shiftsInUse |= 1UL << added;
        List<Probe> probes = [];
        for (int i = 0; i < _banks.Length; i++)
        {
            foreach (int shift in _banks[i].Shifts)
            {
                if ((_shiftsInUse & (1UL << shift)) != 0 && _bankOf[shift].Bank == i)
                {
                    probes.Add(new Probe(shift, _banks[i].First, _banks[i].Ways, _banks[i].SetMask));
                }
            }
        }

        _probes = [.. probes];
    }

    private void Free(int slot)
    {
        Debug.Assert(Entries[slot].Serial != 0 && _used > 0, "the entry is in use");
        _used--;
        Entries[slot].Serial = 0;
        _tags[slot] = 0;
    }

    /// <summary>The first slot in use from here on; behind the last one if there is none.</summary>
    private int NextUsed(int slot)
    {
        int next = _tags.AsSpan(slot).IndexOfAnyExcept(0UL);
        return next < 0 ? Entries.Length : slot + next;
    }

    private int Victim(in Bank bank, int set, ulong tag, int space)
    {
        int first = bank.First + (set * bank.Ways);
        int free = -1;

        // In range as in Find.
        ref ulong tags = ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(_tags), first);
        Vector256<ulong> wanted = Vector256.Create(tag);
        for (int way = 0; way < bank.Ways; way += Vector256<ulong>.Count)
        {
            Vector256<ulong> four = Vector256.LoadUnsafe(ref tags, (nuint)(uint)way);
            for (uint same = Vector256.Equals(four, wanted).ExtractMostSignificantBits(); same != 0; same &= same - 1)
            {
                int slot = first + way + BitOperations.TrailingZeroCount(same);
                if (Entries[slot].Asid == space)
                {
                    // A page that is there already (an upgraded permission) is replaced, not doubled.
                    return slot;
                }
            }

            uint unused = Vector256.Equals(four, Vector256<ulong>.Zero).ExtractMostSignificantBits();
            if (unused != 0 && free < 0)
            {
                free = way + BitOperations.TrailingZeroCount(unused);
            }
        }

        if ((uint)free < (uint)bank.Ways)
        {
            return first + free;
        }

        return _replacement switch
        {
            TlbReplacement.Random => first + (int)(NextRandom() % (uint)bank.Ways),
            TlbReplacement.TreeLru => first + TreeVictim(bank.Tree[set], bank.Ways),
            _ when bank.Ways == 4 => first + OldestOfFour(ref Stamps[first], ref Stamps[first + 3]),
            _ => first + (bank.Ways > 2 * Vector256<long>.Count && bank.Ways % Vector256<long>.Count == 0 ? OldestOfFours(Stamps.AsSpan(first, bank.Ways)) : Oldest(Stamps.AsSpan(first, bank.Ways))),
        };
    }

    /// <summary>The oldest of four ways, from the first one's time of use to the last one's.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int OldestOfFour(ref long first, ref long last)
    {
        // In range: the caller has looked at both ends. No branches, as below.
        long second = Unsafe.Add(ref first, 1);
        long third = Unsafe.Subtract(ref last, 1);
        int low = second < first ? 1 : 0;
        int high = last < third ? 3 : 2;
        return Math.Min(third, last) < Math.Min(first, second) ? high : low;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Oldest(ReadOnlySpan<long> stamps)
    {
        // The way in the low bits (there are at most 4096), and a minimum without branches: nobody can predict which way is the oldest.
        long oldest = long.MaxValue >> 1;
        for (int way = 0; way < stamps.Length; way++)
        {
            long difference = ((stamps[way] << 12) | (uint)way) - oldest;
            oldest += difference & (difference >> 63);
        }

        return (int)oldest & 4095;
    }

    /// <summary>The same, of a multiple of four.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int OldestOfFours(ReadOnlySpan<long> stamps)
    {
        Vector256<long> ways = Vector256.Create(0L, 1, 2, 3);
        Vector256<long> oldest = Vector256.Create(long.MaxValue >> 1);
        for (int way = 0; way < stamps.Length; way += Vector256<long>.Count)
        {
            oldest = Vector256.Min(oldest, (Vector256.Create(stamps.Slice(way, Vector256<long>.Count)) << 12) | ways);
            ways += Vector256.Create(4L);
        }

        Vector128<long> two = Vector128.Min(oldest.GetLower(), oldest.GetUpper());
        return (int)Math.Min(two[0], two[1]) & 4095;
    }

    private static int TreeVictim(uint bits, int ways)
    {
        // Node n has children 2n and 2n+1; a set bit says that the lower half was used last.
        int node = 1;
        while (node < ways)
        {
            node = (2 * node) + (int)((bits >> node) & 1);
        }

        return node - ways;
    }

    private void TouchTree(int slot)
    {
        foreach (ref readonly Bank bank in _banks.AsSpan())
        {
            int offset = slot - bank.First;
            if ((uint)offset >= (uint)(bank.Tree.Length * bank.Ways))
            {
                continue;
            }

            ref uint bits = ref bank.Tree[offset / bank.Ways];
            for (int node = bank.Ways + (offset % bank.Ways); node > 1; node >>= 1)
            {
                uint parent = 1u << (node >> 1);
                bits = (node & 1) == 0 ? bits | parent : bits & ~parent;
            }

            return;
        }
    }

    private uint NextRandom()
    {
        _random ^= _random << 13;
        _random ^= _random >> 17;
        _random ^= _random << 5;
        return BitOperations.RotateLeft(_random, 7);
    }

    private readonly record struct Bank(int First, int Sets, int Ways, int[] Shifts, uint[] Tree)
    {
        public ulong SetMask => (ulong)(uint)(Sets - 1);
    }

    private readonly record struct Probe(int Shift, int First, int Ways, ulong SetMask);
}
