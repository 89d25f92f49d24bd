using FluentAssertions;
using FsCheck;
using FsCheck.Fluent;
using MemSim.Hardware;
using Xunit;

namespace MemSim.Tests.Hardware.Mmu;

/// <summary>A level of TLB against a model that looks at every entry.</summary>
public sealed class TlbLevelTests
{
    private static readonly (int Sets, int Ways, int[] Shifts)[][] Shapes =
    [
        [(4, 4, [12])],
        [(2, 12, [12, 21])],
        [(1, 8, [12, 21, 30])],
        [(4, 2, [12]), (2, 4, [21]), (1, 1, [30])],
        [(2, 4, [21])],
    ];

    [Theory]
    [InlineData(TlbReplacement.Lru)]
    [InlineData(TlbReplacement.TreeLru)]
    [InlineData(TlbReplacement.Random)]
    public void Agrees_with_a_naive_model(TlbReplacement replacement)
    {
        Prop.ForAll(ArbMap.Default.ArbFor<int[]>(), operations => Run(replacement, operations))
            .Check(Config.QuickThrowOnFailure.WithMaxTest(150).WithEndSize(200).WithReplay(4711UL, 815UL));
    }

    [Fact]
    public void Flushing_one_piece_of_a_page_that_is_held_in_pieces_flushes_all_of_them()
    {
        TlbLevel level = new([(4, 4, [12])], TlbReplacement.Lru, 1);
        for (ulong piece = 0; piece < 3; piece++)
        {
            _ = level.Insert(0x4020_0000 + (piece << 12), 0x20_0000, 21, Permission.User, 7, piece + 1, (long)piece);
        }

        _ = level.Insert(0x4040_0000, 0x5000, 12, Permission.User, 7, 9, 9);
        level.FlushPage(0x4020_1000, 7);
        level.Count().Should().Be(1);
        level.Find(0x4040_0000, 7).Should().BeGreaterThanOrEqualTo(0, "another page stays");
    }

    private static bool Run(TlbReplacement replacement, int[] operations)
    {
        // A tree needs a power of two of ways.
        int choice = operations.Length % Shapes.Length;
        (int Sets, int Ways, int[] Shifts)[] shape = replacement == TlbReplacement.TreeLru && choice == 1 ? Shapes[0] : Shapes[choice];
        TlbLevel level = new(shape, replacement, seed: 5);
        Model model = new(shape, replacement);
        ulong serial = 0;
        long now = 0;
        foreach (int operation in operations)
        {
            Random random = new(operation);
            ulong address = Address(random);
            int asid = random.Next(3);
            switch (random.Next(20))
            {
                case < 11:
                    int pageShift = (int[])[12, 12, 12, 21, 30] is var shifts ? shifts[random.Next(5)] : 0;
                    uint permissions = (uint)random.Next(64);
                    ulong page = (ulong)random.Next(1, 1000) << pageShift;
                    int slot = level.Insert(address, page, pageShift, permissions, asid, ++serial, ++now);
                    model.Insert(slot, address, page, pageShift, permissions, asid, serial, now);
                    break;
                case < 16:
                    int found = level.Find(address, asid);
                    if (found >= 0)
                    {
                        level.Touch(found, ++now);
                        model.Touch(found, now);
                    }

                    break;
                case < 18:
                    int whose = random.Next(4) == 0 ? TlbEntry.EverySpace : asid;
                    level.FlushPage(address, whose);
                    model.Free(e => e.PageCovers(address) && (whose == TlbEntry.EverySpace || e.Space == whose || e.Space == TlbEntry.AnySpace));
                    break;
                case 18:
                    level.FlushSpace(asid);
                    model.Free(e => e.Space == asid);
                    break;
                default:
                    bool global = random.Next(2) == 0;
                    level.FlushAll(global);
                    model.Free(e => global || e.Space != TlbEntry.AnySpace);
                    break;
            }

            model.Compare(level, random);
        }

        return true;
    }

    /// <summary>Few enough pages that sets overflow, spread over all sizes.</summary>
    private static ulong Address(Random random) =>
        ((ulong)random.Next(2) << 30) | ((ulong)random.Next(5) << 21) | ((ulong)random.Next(9) << 12) | (uint)random.Next(4096);

    private sealed record Entry(ulong Page, int Shift, int PageShift, ulong Base, uint Permissions, int Space, ulong Serial, long Stamp)
    {
        public bool Covers(ulong address) => address >> Shift == Page;

        public bool PageCovers(ulong address) => address >> PageShift == Page << Shift >> PageShift;
    }

    /// <summary>Slots in the order of arrays, sets and ways; trees of recently used halves as sets of half-intervals.</summary>
    private sealed class Model
    {
        private readonly (int Sets, int Ways, int[] Shifts)[] _shape;
        private readonly TlbReplacement _replacement;
        private readonly Entry?[] _slots;
        private readonly HashSet<(int Low, int High)> _lowerHalfUsedLast = [];

        public Model((int Sets, int Ways, int[] Shifts)[] shape, TlbReplacement replacement)
        {
            _shape = shape;
            _replacement = replacement;
            _slots = new Entry?[shape.Sum(a => a.Sets * a.Ways)];
        }

        public void Insert(int slot, ulong address, ulong page, int pageShift, uint permissions, int asid, ulong serial, long now)
        {
            // The array of the largest size that is not larger than the page.
            int shift = _shape.SelectMany(a => a.Shifts).Where(s => s <= pageShift).DefaultIfEmpty(-1).Max();
            if (shift < 0)
            {
                slot.Should().Be(-1);
                return;
            }

            int space = (permissions & Permission.Global) != 0 ? TlbEntry.AnySpace : asid;
            (int first, int ways) = SetOf(address, shift);
            int[] set = [.. Enumerable.Range(first, ways)];
            int same = Array.FindIndex(_slots, e => e is not null && e.Shift == shift && e.Covers(address) && e.Space == space);
            int free = set.Where(i => _slots[i] is null).DefaultIfEmpty(-1).First();
            if (same >= 0)
            {
                slot.Should().Be(same, "a page that is there already is replaced");
            }
            else if (free >= 0)
            {
                slot.Should().Be(free, "the first free way is taken");
            }
            else if (_replacement == TlbReplacement.Lru)
            {
                slot.Should().Be(set.MinBy(i => _slots[i]!.Stamp), "the least recently used goes");
            }
            else if (_replacement == TlbReplacement.TreeLru)
            {
                slot.Should().Be(Victim(first, first + ways), "the tree says so");
            }
            else
            {
                slot.Should().BeInRange(first, first + ways - 1);
            }

            ulong piece = page + (address & ((1UL << pageShift) - 1)) - (address & ((1UL << shift) - 1));
            _slots[slot] = new Entry(address >> shift, shift, pageShift, piece, permissions, space, serial, now);
            Touch(slot, now);
        }

        public void Touch(int slot, long now)
        {
            _slots[slot] = _slots[slot]! with { Stamp = now };
            (int low, int high) = SetOf(_slots[slot]!.Page << _slots[slot]!.Shift, _slots[slot]!.Shift) is var set ? (set.First, set.First + set.Ways) : default;
            while (high - low > 1 && _replacement == TlbReplacement.TreeLru)
            {
                int middle = (low + high) / 2;
                bool lower = slot < middle;
                _ = lower ? _lowerHalfUsedLast.Add((low, high)) : _lowerHalfUsedLast.Remove((low, high));
                (low, high) = lower ? (low, middle) : (middle, high);
            }
        }

        public void Free(Predicate<Entry> which)
        {
            for (int i = 0; i < _slots.Length; i++)
            {
                _slots[i] = _slots[i] is { } entry && which(entry) ? null : _slots[i];
            }
        }

        public void Compare(TlbLevel level, Random random)
        {
            level.Count().Should().Be(_slots.Count(e => e is not null));
            for (int i = 0; i < _slots.Length; i++)
            {
                TlbEntry entry = level.Entries[i];
                entry.Serial.Should().Be(_slots[i]?.Serial ?? 0);
                if (_slots[i] is { } expected)
                {
                    (entry.Base, (uint)entry.Permissions, entry.Asid, (int)entry.Shift, (int)entry.PageShift, level.Stamps[i])
                        .Should().Be((expected.Base, expected.Permissions, expected.Space, expected.Shift, expected.PageShift, expected.Stamp));
                }
            }

            for (int i = 0; i < 8; i++)
            {
                ulong address = Address(random);
                int asid = random.Next(3);
                int[] matches = [.. Enumerable.Range(0, _slots.Length).Where(s => _slots[s] is { } e && e.Covers(address) && (e.Space == asid || e.Space == TlbEntry.AnySpace))];
                int found = level.Find(address, asid);
                if (matches.Length == 0)
                {
                    found.Should().Be(-1);
                }
                else
                {
                    matches.Should().Contain(found);
                }
            }
        }

        private int Victim(int low, int high)
        {
            while (high - low > 1)
            {
                int middle = (low + high) / 2;
                (low, high) = _lowerHalfUsedLast.Contains((low, high)) ? (middle, high) : (low, middle);
            }

            return low;
        }

        private (int First, int Ways) SetOf(ulong address, int shift)
        {
            int first = 0;
            foreach ((int sets, int ways, int[] shifts) in _shape)
            {
                if (shifts.Contains(shift))
                {
                    return (first + ((int)((address >> shift) % (ulong)sets) * ways), ways);
                }

                first += sets * ways;
            }

            throw new ArgumentOutOfRangeException(nameof(shift));
        }
    }
}
