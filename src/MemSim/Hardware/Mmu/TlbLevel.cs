using System.Numerics;

namespace MemSim.Hardware;

/// <summary>A TLB entry. <see cref="Serial"/> is unique in the CPU and 0 while the entry is free.</summary>
internal struct TlbEntry
{
    public ulong Serial;
    public long Stamp;
    public ulong Base;

    /// <summary>The first virtual address of the page, with log2 of its size in the low bits.</summary>
    public ulong Tag;
    public uint Permissions;

    /// <summary>The address space, or <see cref="AnySpace"/>.</summary>
    public int Asid;

    /// <summary>log2 of the size of the page this entry is a fragment of; its own size if it is whole.</summary>
    public int PageShift;

    /// <summary>The space of a global entry.</summary>
    public const int AnySpace = -1;

    /// <summary>Asked for: entries of whatever space.</summary>
    public const int EverySpace = -2;

    public readonly int Shift => (int)(Tag & 63);
}

/// <summary>One level of TLB: set-associative arrays for one or several page sizes, their entries in one piece.</summary>
internal sealed class TlbLevel
{
    public readonly TlbEntry[] Entries;
    private readonly ulong[] _tags;
    private readonly Bank[] _banks;
    private readonly (int Bank, int Shift)[] _bankOf = new (int, int)[64];
    private readonly TlbReplacement _replacement;
    private uint _random;
    private bool _hasFragments;

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
        _tags = new ulong[first];
        for (int pageShift = 0; pageShift < 64; pageShift++)
        {
            _bankOf[pageShift] = BankOf(pageShift);
        }
    }

    public bool IsEmpty => _banks.Length == 0;

    /// <summary>The slot of an entry for an address; -1 without one.</summary>
    public int Find(ulong address, int asid)
    {
        Bank[] banks = _banks;
        for (int i = 0; i < banks.Length; i++)
        {
            ref readonly Bank bank = ref banks[i];
            foreach (int shift in bank.Shifts)
            {
                ulong tag = (address >> shift << shift) | (uint)shift;
                int slot = bank.First + ((int)((address >> shift) & bank.SetMask) * bank.Ways);
                int end = slot + bank.Ways;
                while (slot < end)
                {
                    int way = _tags.AsSpan(slot, end - slot).IndexOf(tag);
                    if (way < 0)
                    {
                        break;
                    }

                    slot += way;
                    ref TlbEntry entry = ref Entries[slot];
                    if (entry.Serial != 0 && (entry.Asid == asid || entry.Asid == TlbEntry.AnySpace || asid == TlbEntry.EverySpace))
                    {
                        return slot;
                    }

                    slot++;
                }
            }
        }

        return -1;
    }

    /// <summary>Notes that an entry was used.</summary>
    public void Touch(int slot, long now)
    {
        Entries[slot].Stamp = now;
        if (_replacement == TlbReplacement.TreeLru)
        {
            TouchTree(slot);
        }
    }

    /// <summary>Puts a page in, giving up another entry if need be.</summary>
    /// <returns>The slot; -1 when no array holds pages of that size or smaller.</returns>
    public int Insert(ulong address, ulong pageBase, int pageShift, uint permissions, int asid, ulong serial, long now)
    {
        (int bankIndex, int shift) = _bankOf[pageShift];
        if (bankIndex < 0)
        {
            return -1;
        }

        ref readonly Bank bank = ref _banks[bankIndex];
        int set = (int)((address >> shift) & bank.SetMask);
        int space = (permissions & Permission.Global) != 0 ? TlbEntry.AnySpace : asid;
        int slot = Victim(bank, set, (address >> shift << shift) | (uint)shift, space);
        ref TlbEntry entry = ref Entries[slot];
        entry.Tag = (address >> shift << shift) | (uint)shift;
        _tags[slot] = entry.Tag;
        entry.Base = pageBase + (address & ((1UL << pageShift) - 1) & ~((1UL << shift) - 1));
        entry.Serial = serial;
        entry.Permissions = permissions;
        entry.Asid = space;
        entry.PageShift = pageShift;
        _hasFragments |= shift != pageShift;
        Touch(slot, now);
        return slot;
    }

    /// <summary>Flushes the page of an address from an address space (or <see cref="TlbEntry.EverySpace"/>), global entries too.</summary>
    public void FlushPage(ulong address, int asid)
    {
        for (int slot = Find(address, asid); slot >= 0; slot = Find(address, asid))
        {
            Entries[slot].Serial = 0;
        }

        if (_hasFragments)
        {
            foreach (ref TlbEntry entry in Entries.AsSpan())
            {
                bool same = entry.Shift != entry.PageShift && (entry.Tag ^ address) >> entry.PageShift == 0 && (entry.Asid == asid || entry.Asid == TlbEntry.AnySpace || asid == TlbEntry.EverySpace);
                entry.Serial = same ? 0 : entry.Serial;
            }
        }
    }

    /// <summary>Flushes an address space except its global entries.</summary>
    public void FlushSpace(int asid)
    {
        foreach (ref TlbEntry entry in Entries.AsSpan())
        {
            if (entry.Asid == asid)
            {
                entry.Serial = 0;
            }
        }
    }

    public void FlushAll(bool global)
    {
        foreach (ref TlbEntry entry in Entries.AsSpan())
        {
            if (global || entry.Asid != TlbEntry.AnySpace)
            {
                entry.Serial = 0;
            }
        }

        _hasFragments &= !global;
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

    private int Victim(in Bank bank, int set, ulong tag, int space)
    {
        int first = bank.First + (set * bank.Ways);
        int victim = -1;
        for (int slot = first; slot < first + bank.Ways; slot++)
        {
            if (Entries[slot].Serial == 0)
            {
                victim = victim < 0 ? slot : victim;
            }
            else if (Entries[slot].Tag == tag && Entries[slot].Asid == space)
            {
                // A page that is there already (an upgraded permission) is replaced, not doubled.
                return slot;
            }
        }

        if (victim >= 0)
        {
            return victim;
        }

        return _replacement switch
        {
            TlbReplacement.Random => first + (int)(NextRandom() % (uint)bank.Ways),
            TlbReplacement.TreeLru => first + TreeVictim(bank.Tree[set], bank.Ways),
            _ => Oldest(first, bank.Ways),
        };
    }

    private int Oldest(int first, int ways)
    {
        int oldest = first;
        for (int slot = first + 1; slot < first + ways; slot++)
        {
            oldest = Entries[slot].Stamp < Entries[oldest].Stamp ? slot : oldest;
        }

        return oldest;
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
}
