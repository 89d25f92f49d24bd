using MemSim.Lru;
using MemSim.VirtualMemory;

namespace MemSim.HugePages;

/// <content>What reclaim and advice ask about huge pages.</content>
internal sealed partial class TransparentHugeMemory
{
    /// <summary>Counts and clears the accessed state of all entries that map a huge page or parts of it.</summary>
    public PageReferences Referenced(Cpu cpu, int head)
    {
        int count = 0;
        bool executable = false;
        if (!_spaces.Machine.Frames.Mappings.TryFind(_frames[head].Mapping, out AnonVma? anon))
        {
            return default;
        }

        uint index = _frames[head].Index;
        foreach (AnonVmaChain link in anon.Areas)
        {
            Vma vma = link.Vma;
            int found = YoungIn(cpu, vma, head, index, out bool maps);
            if (maps && (vma.Flags & VmaFlags.Locked) != 0)
            {
                return new PageReferences(count, executable, true);
            }

            found = (vma.Flags & VmaFlags.SequentialRead) == 0 ? found : 0;
            if (_spaces.Machine.Lru.Idle is { } idle)
            {
                if (found != 0)
                {
                    idle.Used(head);
                }

                found += idle.TestClearYoung(head) ? 1 : 0;
            }

            if (found != 0)
            {
                // Once per area, however many entries it has.
                count++;
                executable |= (vma.Flags & VmaFlags.Exec) != 0;
            }
        }

        return new PageReferences(count, executable, false);
    }

    /// <summary>Whether any entry says that a huge page was used; all are made old, and no TLB flushed.</summary>
    public bool WasUsed(Cpu cpu, int head)
    {
        int found = 0;
        if (_spaces.Machine.Frames.Mappings.TryFind(_frames[head].Mapping, out AnonVma? anon))
        {
            foreach (AnonVmaChain link in anon.Areas)
            {
                found += YoungIn(cpu, link.Vma, head, _frames[head].Index, out _, flushes: false);
            }
        }

        return found != 0;
    }

    private int YoungIn(Cpu cpu, Vma vma, int head, uint index, out bool maps, bool flushes = true)
    {
        PageTables tables = vma.Mm.Tables;
        maps = false;
        int young = 0;
        for (int i = 0; i < 1 << _frames[head].Order; i++)
        {
            if (!vma.TryAddressOf(index + (uint)i, out ulong address))
            {
                continue;
            }

            ulong slot = i == 0 && _frames[head].Order == Order ? Find(vma, address, out _) : 0;
            bool whole = slot != 0;
            slot = whole ? slot : tables.FindSlot(address);
            ulong entry = slot == 0 ? 0 : tables.ReadSlot(slot);
            if (entry == 0 || !_layout.IsPresent(entry) || _layout.Pfn(entry) != head + i)
            {
                continue;
            }

            maps = true;
            if (_layout.IsYoung(entry))
            {
                while (!tables.TryChangeSlot(slot, ref entry, _layout.MakeOld(entry)))
                {
                }

                if (flushes && !_spaces.Addresses.IsX86)
                {
                    tables.Mmu.FlushRange(cpu, tables, new VirtualAddress(address), whole ? Bytes : PageGeometry.PageSize);
                }

                young++;
            }

            if (whole)
            {
                break;
            }
        }

        return young;
    }

    /// <summary>Advice about a huge page: old and inactive (cold), or free to be dropped. One that the range cuts is split, and the cursor goes on at its parts.</summary>
    public void Advise(Cpu cpu, ref PageTableCursor cursor, PageTables tables, bool free)
    {
        ulong entry = cursor.Entry;
        int head = _layout.Pfn(entry);
        if (IsZero(entry) || _spaces.Maps.TotalMapCount(head) != 1)
        {
            // What others use as well, or nobody has written, is left alone.
            return;
        }

        if (cursor.IsCut)
        {
            _spaces.Pages.Get(head);
            if (SplitPage(cpu, head))
            {
                cursor.ContinueFrom(cursor.Address);
            }

            _spaces.Pages.Put(cpu, head);
            return;
        }

        _spaces.Pages.ClearFlag(head, free ? PageFlags.Dirty : PageFlags.Referenced);
        if (!free)
        {
            _ = _spaces.Machine.Lru.Idle?.TestClearYoung(head);
        }

        while (!tables.TryChangeSlot(cursor.Slot, ref entry, free ? _layout.MakeClean(_layout.MakeOld(entry)) : _layout.MakeOld(entry)))
        {
        }

        if (free)
        {
            _spaces.Machine.Lru.LazyFree(cpu, head);
        }
        else
        {
            _spaces.Machine.Lru.Deactivate(cpu, head);
        }
    }

    /// <summary>Splits a huge page that nobody else uses, so that its parts can be reclaimed.</summary>
    /// <returns>Whether small pages are there now.</returns>
    public bool SplitForPageOut(Cpu cpu, ulong entry)
    {
        if (IsZero(entry) || _spaces.Maps.TotalMapCount(_layout.Pfn(entry)) != 1)
        {
            return false;
        }

        int head = _layout.Pfn(entry);
        _spaces.Pages.Get(head);
        bool split = SplitPage(cpu, head);
        _spaces.Pages.Put(cpu, head);
        return split;
    }

    /// <summary>Takes a huge page that its only user gave up with <c>MADV_FREE</c> off its list in one piece, unused from now on, for <c>MADV_PAGEOUT</c> (<c>madvise_cold_or_pageout_pte_range()</c>).</summary>
    /// <returns>Its first frame, isolated; −1 for every other page.</returns>
    public int IsolateFreed(in PageTableCursor cursor, PageTables tables)
    {
        ulong entry = cursor.Entry;
        int head = _layout.Pfn(entry);
        if (IsZero(entry) || cursor.IsCut || _spaces.Maps.TotalMapCount(head) != 1 || _frames[head].IsSwapBacked)
        {
            return -1;
        }

        while (_layout.IsYoung(entry) && !tables.TryChangeSlot(cursor.Slot, ref entry, _layout.MakeOld(entry)))
        {
        }

        _spaces.Pages.ClearFlag(head, PageFlags.Referenced);
        _ = _spaces.Machine.Lru.Idle?.TestClearYoung(head);
        return !_spaces.Pages.HasFlag(head, PageFlags.Unevictable) && _spaces.Machine.Lru.Isolate(head) ? head : -1;
    }

    /// <summary>
    /// Takes a large page that was given up with <c>MADV_FREE</c> out of all entries, for reclaim, which has it locked and isolated (<c>try_to_unmap()</c>): an entry that maps it as a whole goes at once since 6.11, before
    /// it was split first.
    /// </summary>
    /// <returns>Whether nothing maps it any more. One that was written to again is ordinary memory from then on.</returns>
    public bool Discard(Cpu cpu, int head)
    {
        if (!_spaces.Machine.Frames.Mappings.TryFind(_frames[head].Mapping, out AnonVma? anon))
        {
            return false;
        }

        foreach (AnonVmaChain link in anon.Areas)
        {
            if (!DiscardIn(cpu, link.Vma, head))
            {
                return false;
            }
        }

        return _spaces.Maps.TotalMapCount(head) == 0;
    }

    private bool DiscardIn(Cpu cpu, Vma vma, int head)
    {
        PageTables tables = vma.Mm.Tables;
        uint index = _frames[head].Index;
        bool locked = (vma.Flags & VmaFlags.Locked) != 0;
        if (_frames[head].Order == Order && vma.TryAddressOf(index, out ulong start) && (start & _mask) == 0 && Find(vma, start, out ulong whole) is var at and not 0 && _layout.Pfn(whole) == head)
        {
            if (locked || _spaces.Rules.DiscardsHugeWhole)
            {
                return !locked && DiscardWhole(cpu, vma, start, at, whole, head);
            }

            SplitEntry(cpu, vma, start);
        }

        for (int pfn = head; pfn < head + (1 << _frames[head].Order); pfn++)
        {
            if (vma.TryAddressOf(index + (uint)(pfn - head), out ulong address) && tables.FindSlot(address) is var slot and not 0 && tables.ReadSlot(slot) is var entry and not 0
                && _layout.IsPresent(entry) && _layout.Pfn(entry) == pfn && (locked || !DiscardPart(cpu, vma, address, slot, entry, head, pfn)))
            {
                return false;
            }
        }

        return true;
    }

    private bool DiscardWhole(Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry, int head)
    {
        PageTables tables = vma.Mm.Tables;
        entry = tables.ClearSlot(slot, entry);
        tables.Mmu.FlushRange(cpu, tables, new VirtualAddress(address), Bytes);
        NoteDirty(entry, head);
        if (_spaces.Pages.HasFlag(head, PageFlags.Dirty) || IsHeldByOthers(head))
        {
            tables.WriteSlot(slot, entry);
            if (_spaces.Pages.HasFlag(head, PageFlags.Dirty))
            {
                _spaces.Pages.SetFlag(head, PageFlags.SwapBacked);
            }

            return false;
        }

        vma.Mm.NotePeak();
        vma.Mm.AnonPages -= Pages;
        tables.FreeDeposit(cpu);
        _spaces.Maps.RemoveHugeRmap(cpu, head, vma, splits: false);
        _spaces.Pages.Put(cpu, head);
        return true;
    }

    private bool DiscardPart(Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry, int head, int pfn)
    {
        PageTables tables = vma.Mm.Tables;
        entry = tables.ClearSlot(slot, entry);
        tables.Mmu.FlushPage(cpu, tables, new VirtualAddress(address));
        NoteDirty(entry, head);
        if (_spaces.Pages.HasFlag(head, PageFlags.Dirty) || IsHeldByOthers(head))
        {
            tables.WriteSlot(slot, entry);
            _spaces.Pages.SetFlag(head, PageFlags.SwapBacked);
            return false;
        }

        vma.Mm.NotePeak();
        vma.Mm.CountResident(pfn, -1);
        _spaces.Maps.RemoveRmap(cpu, pfn, vma);
        _spaces.Pages.Put(cpu, pfn);
        return true;
    }

    private void NoteDirty(ulong entry, int head)
    {
        if (_layout.IsDirty(entry))
        {
            _spaces.Pages.SetFlag(head, PageFlags.Dirty);
        }
    }

    /// <summary>Whether there are more references than those of entries and of reclaim.</summary>
    private bool IsHeldByOthers(int head) => _spaces.Pages.RefCount(head) != 1 + _spaces.Maps.TotalMapCount(head);

    /// <summary>Makes a page that is part of a huge one a page of its own, for advice about it alone.</summary>
    /// <returns>Whether it is one now.</returns>
    public bool Isolate(Cpu cpu, int pfn)
    {
        if (!_spaces.Pages.IsPartOfHuge(pfn))
        {
            return true;
        }

        int head = _spaces.Pages.HeadOf(pfn);
        if (_spaces.Maps.MapCount(pfn) != 1)
        {
            return false;
        }

        _spaces.Pages.Get(head);
        bool split = SplitPage(cpu, head);
        _spaces.Pages.Put(cpu, head);
        return split;
    }
}
