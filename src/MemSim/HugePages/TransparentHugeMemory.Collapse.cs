using MemSim.Faults;
using MemSim.Hardware;
using MemSim.PageCache;
using MemSim.Statistics;

namespace MemSim.HugePages;

/// <summary>What came of trying to make a huge page of a range.</summary>
internal enum CollapseOutcome
{
    /// <summary>The range is not fit for it.</summary>
    NotNow,

    /// <summary>It changed while a page was sought.</summary>
    Changed,

    NoMemory,
    Collapsed,
}

/// <content>Making huge pages of small ones (<c>mm/khugepaged.c</c> of 6.1).</content>
internal sealed partial class TransparentHugeMemory
{
    private readonly int[] _nodeLoad = new int[64];

    /// <summary>Makes one huge page of the pages of an aligned range, if the limits allow it.</summary>
    public CollapseOutcome TryCollapse(Cpu cpu, Vma vma, ulong address, Khugepaged limits)
    {
        PageTables tables = vma.Mm.Tables;
        if (!Examine(vma, address, limits, out int swapped))
        {
            return CollapseOutcome.NotNow;
        }

        Gfp gfp = (limits.Defrag ? Gfp.TransHuge : Gfp.TransHugeLight) | Gfp.ThisNode;
        int head = _pages.AllocateChecked(cpu, gfp, Order, TargetNode(cpu));
        if (head < 0)
        {
            _events.Count(VmEvent.ThpCollapseAllocFailed);
            return CollapseOutcome.NoMemory;
        }

        if (!TryCharge(cpu, vma, head, gfp))
        {
            return CollapseOutcome.NoMemory;
        }

        _events.Count(VmEvent.ThpCollapseAlloc);
        CountForCgroup(head, Cgroups.CgroupStat.ThpCollapseAlloc);
        bool still = swapped == 0 || SwapIn(cpu, vma, address);

        // Reclaim may have run in the allocation, and reading from swap has changed entries.
        if (!still || !Examine(vma, address, limits, out swapped) || swapped != 0)
        {
            FreeUnused(cpu, head);
            return CollapseOutcome.Changed;
        }

        Collapse(cpu, vma, address, head);
        return CollapseOutcome.Collapsed;
    }

    /// <summary>Whether a range is fit to be collapsed (<c>hpage_collapse_scan_pmd()</c>).</summary>
    private bool Examine(Vma vma, ulong address, Khugepaged limits, out int swapped)
    {
        PageTables tables = vma.Mm.Tables;
        swapped = 0;
        ulong slot = tables.FindSlot(address);
        if (slot == 0)
        {
            return false;
        }

        int empty = 0;
        int shared = 0;
        int referenced = 0;
        bool writable = false;
        Array.Clear(_nodeLoad);
        for (int i = 0; i < Pages; i++)
        {
            ulong entry = tables.ReadSlot(slot + ((ulong)i << tables.EntryShift));
            if (entry == 0 || (_layout.IsPresent(entry) && _layout.Pfn(entry) == _spaces.ZeroPfn))
            {
                if (++empty > limits.MaxEmpty)
                {
                    _events.Count(VmEvent.ThpScanExceedNonePte);
                    return false;
                }

                continue;
            }

            if (!_layout.IsPresent(entry))
            {
                if (_spaces.Entries.Decode(entry).Kind != SoftEntryKind.Swap)
                {
                    return false;
                }

                if (++swapped > limits.MaxSwapped)
                {
                    _events.Count(VmEvent.ThpScanExceedSwapPte);
                    return false;
                }

                continue;
            }

            int pfn = _spaces.Entries.PeekPage(vma, address + ((ulong)i << PageGeometry.PageShift), entry);
            if (pfn < 0)
            {
                return false;
            }

            writable |= _layout.IsWritable(entry);
            if (_spaces.Maps.MapCount(pfn) > 1 && ++shared > limits.MaxShared)
            {
                _events.Count(VmEvent.ThpScanExceedSharePte);
                return false;
            }

            if (!IsFit(pfn))
            {
                return false;
            }

            _nodeLoad[_spaces.Machine.Zones[_frames[_spaces.Pages.HeadOf(pfn)].ZoneId].Node.Id & 63]++;
            referenced += _layout.IsYoung(entry) || _spaces.Pages.HasFlag(pfn, PageFlags.Referenced) ? 1 : 0;
        }

        return writable && referenced != 0 && (swapped == 0 || referenced >= Pages / 2);
    }

    /// <summary>Whether a page is on a list, unlocked, and held by its mappings only.</summary>
    private bool IsFit(int pfn)
    {
        int head = _spaces.Pages.HeadOf(pfn);
        return _spaces.Pages.IsAnon(head) && _spaces.Pages.HasFlag(head, PageFlags.Lru) && !_spaces.Pages.HasFlag(head, PageFlags.Locked)
            && _spaces.Pages.RefCount(head) == _spaces.Maps.TotalMapCount(head) + (_spaces.Pages.IsSwapCache(head) ? 1 : 0);
    }

    /// <summary>The node that most of the pages are on.</summary>
    private Node TargetNode(Cpu cpu)
    {
        int best = Array.IndexOf(_nodeLoad, _nodeLoad.Max());
        return _spaces.Machine.ZoneTable.NodeOrDefault(best) ?? cpu.Node;
    }

    private bool SwapIn(Cpu cpu, Vma vma, ulong address)
    {
        for (ulong at = address; at < address + Bytes; at += PageGeometry.PageSize)
        {
            ulong slot = vma.Mm.Tables.FindSlot(at);
            ulong entry = slot == 0 ? 0 : vma.Mm.Tables.ReadSlot(slot);
            if (entry != 0 && !_layout.IsPresent(entry) && (_spaces.Faults.HandleFault(cpu, vma, at, FaultFlags.Remote) & (FaultResult.Error | FaultResult.Retry)) != 0)
            {
                return false;
            }
        }

        _spaces.Machine.Lru.DrainAll(cpu);
        return true;
    }

    /// <summary>Copies what is there, gives the small pages up and maps the huge one (<c>collapse_huge_page()</c>): the emptied page table is put by for splitting it.</summary>
    private void Collapse(Cpu cpu, Vma vma, ulong address, int head)
    {
        MemoryDescriptor mm = vma.Mm;
        PageTables tables = mm.Tables;
        ulong pmd = tables.FindPmd(address);
        ulong slot = tables.FindSlot(address);
        tables.DepositFrom(pmd);
        tables.Mmu.FlushRange(cpu, tables, new VirtualAddress(address), Bytes);
        for (int i = 0; i < Pages; i++, slot += 1UL << tables.EntryShift)
        {
            ulong entry = tables.ReadSlot(slot);
            tables.WriteSlot(slot, 0);
            if (entry == 0 || _layout.Pfn(entry) == _spaces.ZeroPfn)
            {
                _spaces.Machine.Ram.Zero(head + i, 1);
                mm.AnonPages++;
                continue;
            }

            int old = _layout.Pfn(entry);
            _spaces.Pages.CopyPage(old, head + i);
            _spaces.Maps.RemoveRmap(cpu, old, vma);
            if (_spaces.Pages.IsSwapCache(old) && _spaces.Maps.MapCount(old) == 0)
            {
                _ = _spaces.Swap?.TryFreeSlot(cpu, old);
            }

            _spaces.Pages.Put(cpu, old);
        }

        _spaces.Pages.PrepareHuge(head);
        _spaces.Maps.AddNewHugeRmap(head, vma, address);
        _spaces.Pages.AddToLru(cpu, head, vma);
        ulong made = _layout.MakeDirty(Make(head, vma.PageBits));
        tables.WriteSlot(pmd, (vma.Flags & VmaFlags.Write) != 0 ? _layout.MakeWritable(made) : made);
    }
}
