using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using MemSim.Hardware;
using MemSim.HugePages;
using MemSim.Hugetlb;
using MemSim.Pages;

namespace MemSim.VirtualMemory;

/// <summary>Takes pages out of page tables in batches: entries are cleared first, then the TLBs are flushed, then the pages are given back (<c>struct mmu_gather</c>).</summary>
internal ref struct MmuGather
{
    private readonly AddressSpaces _spaces;
    private readonly PageEntries _entries;
    private readonly MapCounts _maps;
    private readonly Cpu _cpu;
    private readonly MemoryDescriptor _mm;
    private readonly PageTables _tables;
    private readonly PteLayout _layout;
    private readonly int[] _pages;
    private int _count;

    /// <summary>Pages whose entries were cleared since the last flush; of those collected for later there are no more.</summary>
    private int _gathered;
    private ulong _first;
    private ulong _end;

    public MmuGather(AddressSpaces spaces, Cpu cpu, MemoryDescriptor mm)
    {
        _spaces = spaces;
        _entries = spaces.Entries;
        _maps = spaces.Maps;
        _cpu = cpu;
        _mm = mm;
        _tables = mm.Tables;
        _layout = spaces.Layout;
        _pages = spaces.GatherBuffer;
        _first = ulong.MaxValue;
    }

    /// <summary>Whether private copies of pages of files stay.</summary>
    public bool KeepsCopies { get; init; }

    /// <summary>Whether what entries remember without a page stays (<c>zap_drop_markers()</c>): the addresses are not given up, only their pages.</summary>
    public bool KeepsMarkers { get; init; }

    /// <summary>Clears the entries of part of an area.</summary>
    public void Zap(Vma vma, ulong start, ulong end)
    {
        if (HugetlbMemory.Maps(vma))
        {
            _spaces.Hugetlb.Zap(_cpu, vma, start, end);
        }
        else if (vma.File is not null)
        {
            ZapEntries(vma, start, end, isFile: true);
        }
        else
        {
            ZapEntries(vma, start, end, isFile: false);
        }
    }

    /// <summary>Flushes and gives the last batch back.</summary>
    public void Finish()
    {
        Flush();
        _spaces.Huge.EndUnmapping();
    }

    private void Flush()
    {
        Debug.Assert(_gathered >= _count && _count <= _pages.Length && (_end != 0 || _gathered == 0), "what was gathered lies in a range that is flushed now");
        if (_end != 0)
        {
            _tables.Mmu.FlushRange(_cpu, _tables, new VirtualAddress(_first), _end - _first);
            _first = ulong.MaxValue;
            _end = 0;
        }

        _gathered = 0;
        if (_count != 0)
        {
            _spaces.Swap?.LeaveCache(_cpu, _pages.AsSpan(0, _count));
            _spaces.Machine.Lru.PutAll(_cpu, _pages.AsSpan(0, _count));
            _count = 0;
        }
    }

    private void ZapEntries(Vma vma, ulong start, ulong end, bool isFile)
    {
        PageTableCursor cursor = new(_spaces, vma, start, end);
        while (cursor.Next())
        {
            if (cursor.IsHuge)
            {
                ZapHuge(ref cursor, vma);
                continue;
            }

            TableEntries table = cursor.Entries;
            if (!isFile && !KeepsCopies && _tables.EntryShift == 3 && !_tables.IsShared && (vma.Flags & VmaFlags.Locked) == 0)
            {
                ZapWideTable(vma, table);
                continue;
            }

            while (table.Next(out ulong entry))
            {
                if (KeepsCopies && !_entries.IsOfFile(vma, table.Address, entry))
                {
                    continue;
                }

                if (_layout.IsPresent(entry))
                {
                    entry = _tables.ClearSlot(table.Slot, entry);
                    ZapPresent(vma, table.Address, entry, isFile);
                    if (KeepsMarkers && isFile && _layout.IsProtected(entry))
                    {
                        // The page comes back from its file, and is protected then.
                        _tables.WriteSlot(table.Slot, _layout.MakeMarker(PteMarkers.WriteProtected));
                    }
                }
                else if (!KeepsMarkers || (_layout.Markers(entry) & ~PteMarkers.Poisoned) == 0)
                {
                    _tables.WriteSlot(table.Slot, 0);
                    _entries.DropSoftEntry(_cpu, vma, table.Address, entry);
                }
            }
        }
    }

    /// <summary>Clears the entries of a table, of eight bytes each, that the hardware of no other CPU marks meanwhile: nearly all are anonymous pages of one owner, one after the other.</summary>
    private void ZapWideTable(Vma vma, TableEntries table)
    {
        ReadOnlySpan<ulong> seen = table.WideEntries();
        int first = seen.IndexOfAnyExcept(0UL);
        if (first < 0)
        {
            return;
        }

        Span<ulong> entries = MemoryMarshal.Cast<byte, ulong>(_spaces.Machine.Ram.Range(table.FirstSlot, seen.Length << 3))[..seen.Length];
        FrameArray frames = _spaces.Frames;
        uint frameCount = (uint)_spaces.Machine.Frames.Count;
        uint index = vma.IndexOf(table.FirstAddress);
        uint known = vma.KnownMapping;
        for (int i = first; i < entries.Length; i++)
        {
            ulong entry = entries[i];
            if (entry == 0)
            {
                continue;
            }

            if (KeepsMarkers && !_layout.IsPresent(entry) && (_layout.Markers(entry) & ~PteMarkers.Poisoned) != 0)
            {
                continue;
            }

            entries[i] = 0;
            ulong at = table.FirstAddress + ((ulong)(uint)i << PageGeometry.PageShift);
            if (!_layout.IsPresent(entry))
            {
                _entries.DropSoftEntry(_cpu, vma, at, entry);
                continue;
            }

            int pfn = _layout.Pfn(entry);
            if ((uint)pfn < frameCount)
            {
                ref PageFrame frame = ref frames.Named(pfn);
                if (MappingTable.IsAnonymous(known) && frame.IsMappedPageOf(known, index + (uint)i))
                {
                    _first = Math.Min(_first, at);
                    _end = at + PageGeometry.PageSize;
                    _mm.AnonPages--;
                    _maps.RemoveAnon(ref frame);
                    GiveSmall(ref frame, pfn);
                    continue;
                }
            }

            ZapPresent(vma, at, entry, isFile: false);
            known = vma.KnownMapping;
        }
    }

    /// <summary>A page that others hold, too, and that is not in the swap cache, loses its reference at once: nobody sees the difference, and it need not be looked at again.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void GiveSmall(ref PageFrame frame, int pfn)
    {
        Debug.Assert(_first < _end, "the cleared entry's address is noted before its page is given");
        if (frame.Has(PageFlags.OwnerPrivate1) || !frame.TryDropOneOfSeveral())
        {
            _pages[_count++] = pfn;
        }

        if (++_gathered == _pages.Length)
        {
            Flush();
        }
    }

    private void ZapPresent(Vma vma, ulong at, ulong entry, bool isFile)
    {
        _first = Math.Min(_first, at);
        _end = at + PageGeometry.PageSize;
        int pfn = _layout.Pfn(entry);
        if (!_entries.IsPlainPageAt(vma, at, pfn))
        {
            ZapOther(vma, at, entry);
            return;
        }

        ref PageFrame frame = ref _spaces.Frames[pfn];
        if (isFile && !frame.IsAnonymous)
        {
            LeaveFile(vma, entry, pfn);
        }
        else
        {
            _mm.AnonPages--;
        }

        _maps.RemoveSmallRmap(_cpu, pfn, ref frame, vma);
        Give(pfn);
    }

    /// <summary>The zero page, part of a huge page, or none at all.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void ZapOther(Vma vma, ulong at, ulong entry)
    {
        int pfn = _entries.NormalPage(vma, at, entry);
        if (pfn < 0)
        {
            if (_layout.Pfn(entry) == _spaces.ZeroPfn)
            {
                _spaces.Machine.Ksm.Merger.CountZero(_mm, entry, -1);
            }

            return;
        }

        int head = _spaces.Pages.HeadOf(pfn);
        _spaces.Huge.BeginUnmapping();
        if (!_spaces.Frames[head].IsAnonymous)
        {
            LeaveFile(vma, entry, pfn);
        }
        else
        {
            _mm.AnonPages--;
        }

        _maps.RemoveRmap(_cpu, pfn, vma);
        Give(head);
    }

    /// <summary>What an entry noted of its page's use goes to the page.</summary>
    private readonly void LeaveFile(Vma vma, ulong entry, int pfn)
    {
        if (_layout.IsDirty(entry) && vma.Mapping is { } file)
        {
            _ = file.SetDirty(_cpu, pfn);
        }

        if (_layout.IsYoung(entry) && (vma.Flags & VmaFlags.SequentialRead) == 0)
        {
            _spaces.Pages.MarkAccessed(_cpu, pfn);
        }

        _mm.CountResident(pfn, -1);
    }

    /// <summary>Clears the entry of a huge page, or splits it when the range holds only part of it.</summary>
    private void ZapHuge(ref PageTableCursor cursor, Vma vma)
    {
        TransparentHugeMemory huge = _spaces.Huge;
        if (cursor.IsCut)
        {
            cursor.Split(_cpu);
            return;
        }

        ulong at = cursor.Address;
        _tables.WriteSlot(cursor.Slot, 0);
        _tables.FreeDeposit(_cpu);
        _first = Math.Min(_first, at);
        _end = at + huge.Bytes;
        if (!huge.IsZero(cursor.Entry))
        {
            int head = _layout.Pfn(cursor.Entry);
            _mm.AnonPages -= huge.Pages;
            _maps.RemoveHugeRmap(_cpu, head, vma, splits: false);
            Give(head);
        }
    }

    private void Give(int head)
    {
        Debug.Assert(_first < _end, "the cleared entry's address is noted before its page is given");
        _pages[_count++] = head;
        if (++_gathered == _pages.Length)
        {
            Flush();
        }
    }
}
