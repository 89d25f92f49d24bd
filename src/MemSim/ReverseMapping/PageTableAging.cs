using MemSim.Hardware;
using MemSim.Lru;
using MemSim.Pages;
using MemSim.VirtualMemory;

namespace MemSim.ReverseMapping;

/// <summary>Looks through page tables for pages that were used, so that their generation moves on: all of an address space (<c>walk_mm()</c>), or those around an entry that reverse mapping met (<c>lru_gen_look_around()</c>).</summary>
/// <remarks>
/// A walk is for one LRU vector. It looks only at tables that the hardware has walked since the last time, and of those only at the ones that a Bloom filter remembers as
/// worth it: dense enough with entries in use, by the last walk or by reverse mapping.
/// </remarks>
internal sealed class PageTableAging(AddressSpaces spaces)
{
    private const int CountTotal = 0;
    private const int CountYoung = 1;
    private const int CountFound = 2;
    private const int CountAdded = 3;

    private readonly LruManager _lru = spaces.Machine.Lru;

    /// <summary>Walks all address spaces that ran since the last walk.</summary>
    public void Walk(Cpu cpu, LruVec vec, AgingWalk walk)
    {
        LruGenerations generations = vec.Generations!;
        Aging aging = new(vec, generations, walk);
        AddressSpaceList all = spaces.All;
        bool any = false;
        for (int i = 0; i < all.Places; i++)
        {
            if (all.At(i) is not { } mm || mm.IsGone || (mm.Owner?.CgroupId ?? 0) != vec.CgroupId || !IsWorthIt(cpu, mm, vec.Index, aging.Anon, out aging.LooksAtAll))
            {
                continue;
            }

            if (!any)
            {
                // Where nobody ran the next walk goes by what the last one remembered.
                any = true;
                generations.Filters[(walk.Sequence + 1) & 1].Reset();
            }

            WalkSpace(cpu, mm, ref aging);
        }
    }

    /// <summary>Of the entries around one that was just found used, those in use make their pages younger, too; a table with many of them is remembered.</summary>
    public void LookAround(Cpu cpu, Vma vma, ulong address)
    {
        const ulong page = PageGeometry.PageSize;
        const ulong window = LruGenerations.MinBatch * page;
        ulong table = spaces.Layout.TableBytes;
        ulong start = Math.Max(address & ~(table - 1), vma.StartValue);
        ulong end = Math.Min((address | (table - 1)) + 1, vma.EndValue);
        if (end - start == page)
        {
            return;
        }

        if (end - start > window)
        {
            (start, end) = address - start < window / 2 ? (start, start + window)
                : end - address < window / 2 ? (end - window, end)
                : (address - (window / 2), address + (window / 2));
        }

        PageTables tables = vma.Mm.Tables;
        ulong first = tables.FindSlot(start);
        if (first == 0)
        {
            return;
        }

        LruVec? vec = null;
        int young = 0;
        TableEntries entries = new(tables.Mmu.Memory, first, (end - start) >> PageGeometry.PageShift, start, tables.EntryShift);
        while (entries.Next(out ulong entry))
        {
            if (!spaces.Layout.IsPresent(entry) || !spaces.Layout.IsYoung(entry) || spaces.Entries.PeekPage(vma, entries.Address, entry) is not (var pfn and >= 0))
            {
                continue;
            }

            LruVec own = _lru.OfPage(spaces.Pages.HeadOf(pfn));
            vec ??= own;
            if (own == vec)
            {
                MakeOld(cpu, tables, entries.Slot, entry, entries.Address);
                young++;
                NoteDirty(cpu, vma, pfn, entry);
                if (entries.Address != address || !own.Generations!.Accesses.HasWorkingSetTier)
                {
                    // From 6.18 on whoever asked about the page itself finds out himself.
                    _lru.NoteAround(cpu, own, spaces.Pages.HeadOf(pfn));
                }
            }
        }

        int total = (int)((end - start) >> PageGeometry.PageShift);
        if (vec is not null && IsDense(total, young))
        {
            vec.Generations!.Filters[vec.Generations.MaxSequence & 1].Add(first & ~(page - 1));
        }
    }

    /// <summary>Whether a walk of an address space may find something: a CPU ran on it since the last one, or there was none yet, and it has enough pages (<c>get_next_mm()</c>).</summary>
    private static bool IsWorthIt(Cpu cpu, MemoryDescriptor mm, int node, bool anon, out bool first)
    {
        ulong bit = 1UL << (node & 63);
        first = (mm.WalkedForAging & bit) == 0;
        bool ran = first || (mm.RanSinceAging & bit) != 0UL || (mm.Owner?.RunsOn is { } other && other != cpu);
        if (ran)
        {
            mm.RanSinceAging &= ~bit;
            mm.WalkedForAging |= bit;
        }

        return ran && mm.FilePages + (anon ? mm.AnonPages + mm.SharedMemoryPages : 0) >= LruGenerations.MinBatch;
    }

    private void WalkSpace(Cpu cpu, MemoryDescriptor mm, ref Aging aging)
    {
        for (Vma? vma = mm.Tree.First; vma is not null; vma = vma.Next)
        {
            if (IsSkipped(vma, aging))
            {
                continue;
            }

            PageTableCursor cursor = new(spaces, vma, vma.StartValue, vma.EndValue, BadEntries.Skip);
            while (cursor.Next())
            {
                if (cursor.IsHuge)
                {
                    LookAtHuge(cpu, vma, cursor.Slot, cursor.Entry, cursor.Address, ref aging);
                }
                else
                {
                    WalkTable(cpu, vma, cursor, ref aging);
                }
            }
        }
    }

    private static bool IsSkipped(Vma vma, in Aging aging)
    {
        const VmaFlags without = VmaFlags.Locked | VmaFlags.HugeTlb | VmaFlags.PfnMap | VmaFlags.SequentialRead | VmaFlags.RandomRead;
        return (vma.Flags & without) != 0 || (vma.File is null ? !aging.Anon : !aging.Files && !aging.Anon);
    }

    private void WalkTable(Cpu cpu, Vma vma, in PageTableCursor cursor, ref Aging aging)
    {
        PageTables tables = vma.Mm.Tables;
        ulong table = cursor.Slot & ~(ulong)(PageGeometry.PageSize - 1);
        ulong pmd = aging.SkipsUnusedTables && !aging.LooksAtAll ? tables.FindPmd(cursor.Address) : 0;
        if (pmd != 0)
        {
            // The hardware marks a table when it walks it.
            ulong seen = tables.ReadSlot(pmd);
            if (!spaces.Layout.IsYoung(seen))
            {
                return;
            }

            while (!tables.TryChangeSlot(pmd, ref seen, spaces.Layout.MakeOld(seen)))
            {
            }
        }

        if (!aging.LooksAtAll && !aging.Generations.Filters[aging.Sequence & 1].MayHave(table))
        {
            return;
        }

        aging.Generations.WalkCounts[CountFound]++;
        TableEntries entries = cursor.Entries;
        ulong start = cursor.Address;
        int young = 0;
        while (entries.Next(out ulong entry))
        {
            if (!spaces.Layout.IsPresent(entry) || !spaces.Layout.IsYoung(entry) || spaces.Entries.PeekPage(vma, entries.Address, entry) is not (var pfn and >= 0))
            {
                continue;
            }

            if (aging.Concerns(spaces, pfn, _lru))
            {
                MakeOld(cpu, tables, entries.Slot, entry, entries.Address);
                young++;
                NoteYoung(cpu, vma, pfn, entry, aging.Vec);
            }
        }

        ulong end = Math.Min((start | (spaces.Layout.TableBytes - 1)) + 1, vma.EndValue);
        int total = (int)((end - start) >> PageGeometry.PageShift);
        aging.Generations.WalkCounts[CountTotal] += total;
        aging.Generations.WalkCounts[CountYoung] += young;
        if (IsDense(total, young))
        {
            aging.Generations.WalkCounts[CountAdded]++;
            aging.Generations.Filters[(aging.Sequence + 1) & 1].Add(table);
        }
    }

    private void LookAtHuge(Cpu cpu, Vma vma, ulong slot, ulong entry, ulong address, ref Aging aging)
    {
        aging.Generations.WalkCounts[CountTotal]++;
        if (spaces.Huge.IsZero(entry) || !spaces.Layout.IsYoung(entry) || !aging.Concerns(spaces, spaces.Layout.Pfn(entry), _lru))
        {
            return;
        }

        MakeOld(cpu, vma.Mm.Tables, slot, entry, address);
        aging.Generations.WalkCounts[CountYoung]++;
        NoteYoung(cpu, vma, spaces.Layout.Pfn(entry), entry, aging.Vec);
    }

    private void NoteYoung(Cpu cpu, Vma vma, int pfn, ulong entry, LruVec vec)
    {
        NoteDirty(cpu, vma, pfn, entry);
        _lru.Promote(vec, spaces.Pages.HeadOf(pfn));
    }

    private void NoteDirty(Cpu cpu, Vma vma, int pfn, ulong entry)
    {
        int head = spaces.Pages.HeadOf(pfn);
        ref PageFrame frame = ref spaces.Frames[head];
        if (spaces.Layout.IsDirty(entry) && !frame.IsDirty && !(frame.IsAnonymous && frame.IsSwapBacked && !frame.InSwapCache))
        {
            if (frame.IsAnonymous || vma.Mapping is not { } mapping)
            {
                spaces.Pages.SetFlag(head, PageFlags.Dirty);
            }
            else
            {
                _ = mapping.SetDirty(cpu, head);
            }
        }
    }

    private void MakeOld(Cpu cpu, PageTables tables, ulong slot, ulong entry, ulong address)
    {
        while (!tables.TryChangeSlot(slot, ref entry, spaces.Layout.MakeOld(entry)))
        {
        }

        if (!spaces.Addresses.IsX86)
        {
            spaces.Machine.Mmu.FlushPage(cpu, tables, new VirtualAddress(address));
        }
    }

    /// <summary>On average one entry of each cache line (<c>suitable_to_scan()</c>).</summary>
    private bool IsDense(int total, int young) => young * (spaces.Layout.Is32Bit ? 16 : 8) >= total;

    /// <summary>What a walk is for.</summary>
    private struct Aging(LruVec vec, LruGenerations generations, AgingWalk walk)
    {
        public readonly LruVec Vec = vec;
        public readonly LruGenerations Generations = generations;
        public readonly long Sequence = walk.Sequence;
        public readonly bool Anon = Swappiness.Evicts(0, walk.Swappiness);
        public readonly bool Files = Swappiness.Evicts(1, walk.Swappiness);
        public readonly bool SkipsUnusedTables = walk.SkipsUnusedTables;

        /// <summary>Whether this address space is walked for the first time: then nothing is passed over (<c>force_scan</c>).</summary>
        public bool LooksAtAll;

        public readonly bool Concerns(AddressSpaces spaces, int pfn, LruManager lru)
        {
            int head = spaces.Pages.HeadOf(pfn);
            return (spaces.Frames[head].IsSwapBacked ? Anon : Files) && lru.OfPage(head) == Vec;
        }
    }
}
