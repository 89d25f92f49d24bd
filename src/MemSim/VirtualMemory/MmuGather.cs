using MemSim.Hardware;
using MemSim.HugePages;
using MemSim.Hugetlb;
using MemSim.Pages;

namespace MemSim.VirtualMemory;

/// <summary>Takes pages out of page tables in batches: entries are cleared first, then the TLBs are flushed, then the pages are given back (<c>struct mmu_gather</c>).</summary>
internal ref struct MmuGather
{
    private readonly MmCore _core;
    private readonly Cpu _cpu;
    private readonly MemoryDescriptor _mm;
    private readonly PageTables _tables;
    private readonly PteLayout _layout;
    private readonly int[] _pages;
    private int _count;
    private ulong _first;
    private ulong _end;

    public MmuGather(MmCore core, Cpu cpu, MemoryDescriptor mm)
    {
        _core = core;
        _cpu = cpu;
        _mm = mm;
        _tables = mm.Tables;
        _layout = core.Layout;
        _pages = core.GatherBuffer;
        _first = ulong.MaxValue;
    }

    /// <summary>Whether private copies of pages of files stay.</summary>
    public bool KeepsCopies { get; init; }

    /// <summary>Clears the entries of part of an area.</summary>
    public void Zap(Vma vma, ulong start, ulong end)
    {
        if (HugetlbCore.Maps(vma))
        {
            _core.Hugetlb.Zap(_cpu, vma, start, end);
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
        if (_end != 0)
        {
            _tables.Mmu.FlushRange(_cpu, _tables, new VirtualAddress(_first), _end - _first);
            _first = ulong.MaxValue;
            _end = 0;
        }

        if (_count != 0)
        {
            _core.Swap?.LeaveCache(_cpu, _pages.AsSpan(0, _count));
            _core.PutAll(_cpu, _pages.AsSpan(0, _count));
            _count = 0;
        }
    }

    private void ZapEntries(Vma vma, ulong start, ulong end, bool isFile)
    {
        ulong at = start;
        while (at < end)
        {
            ulong slot = _tables.FindSlot(at, out ulong next);
            if (slot == 0)
            {
                if (_core.UsesHugePages && ZapHuge(vma, at, end))
                {
                    at = Math.Min(end, next == 0 ? end : next);
                    continue;
                }

                if (_core.UsesHugePages && _tables.FindSlot(at, out _) != 0)
                {
                    // A huge page that the range cuts is mapped by small entries now.
                    continue;
                }

                at = next == 0 ? end : next;
                continue;
            }

            // To the end of this table or of the range.
            ulong entryBytes = 1UL << _tables.EntryShift;
            ulong tableEnd = (slot | (PageGeometry.PageSize - 1)) + 1;
            for (; slot < tableEnd && at < end; slot += entryBytes, at += PageGeometry.PageSize)
            {
                ulong entry = _tables.ReadSlot(slot);
                if (entry == 0)
                {
                    continue;
                }

                if (KeepsCopies && !_core.IsOfFile(entry))
                {
                    continue;
                }

                if (_layout.IsPresent(entry))
                {
                    entry = _tables.ClearSlot(slot, entry);
                    ZapPresent(vma, at, entry, isFile);
                }
                else
                {
                    _tables.WriteSlot(slot, 0);
                    _core.DropSoftEntry(_cpu, _mm, entry);
                }
            }
        }
    }

    private void ZapPresent(Vma vma, ulong at, ulong entry, bool isFile)
    {
        _first = Math.Min(_first, at);
        _end = at + PageGeometry.PageSize;
        int pfn = _layout.Pfn(entry);
        if (pfn == _core.ZeroPfn)
        {
            return;
        }

        int head = _core.HeadOf(pfn);
        ref PageFrame frame = ref _core.Frames[head];
        if (isFile && (frame.Mapping & MappingTable.Anonymous) == 0)
        {
            if (_layout.IsDirty(entry) && vma.Mapping is { } file)
            {
                _ = file.SetDirty(_cpu, pfn);
            }

            if (_layout.IsYoung(entry) && (vma.Flags & VmaFlags.SequentialRead) == 0)
            {
                _core.MarkAccessed(_cpu, pfn);
            }

            _ = (frame.FlagsAndZone & (uint)PageFlags.SwapBacked) != 0 ? _mm.SharedMemoryPages-- : _mm.FilePages--;
        }
        else
        {
            _mm.AnonPages--;
        }

        _core.RemoveRmap(_cpu, pfn, vma);
        Give(head);
    }

    /// <summary>Clears the entry of a huge page, or splits it when the range holds only part of it.</summary>
    /// <returns>Whether there was one and it is gone.</returns>
    private bool ZapHuge(Vma vma, ulong at, ulong end)
    {
        HugeCore huge = _core.Huge;
        ulong slot = huge.Find(_tables, at, out ulong entry);
        if (slot == 0)
        {
            return false;
        }

        if (huge.IsCut(at, end))
        {
            huge.SplitEntry(_cpu, vma, at & ~(huge.Bytes - 1));
            return false;
        }

        _tables.WriteSlot(slot, 0);
        _tables.FreeDeposit(_cpu);
        _first = Math.Min(_first, at);
        _end = at + huge.Bytes;
        if (!huge.IsZero(entry))
        {
            int head = _layout.Pfn(entry);
            _mm.AnonPages -= huge.Pages;
            _core.RemoveHugeRmap(_cpu, head, vma, splits: false);
            Give(head);
        }

        return true;
    }

    private void Give(int head)
    {
        _pages[_count++] = head;
        if (_count == _pages.Length)
        {
            Finish();
        }
    }
}
