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

    /// <summary>A page of it is in somebody's hands at the moment.</summary>
    InUse,

    /// <summary>A limit forbids it: of the cgroup, or of empty entries in a range whose faults are watched.</summary>
    Limited,

    /// <summary>It changed while a page was sought.</summary>
    Changed,

    NoMemory,
    Collapsed,
}

/// <content>Making huge pages of small ones (<c>mm/khugepaged.c</c> of 6.1).</content>
internal sealed partial class TransparentHugeMemory
{
    private readonly int[] _nodeLoad = new int[64];

    /// <summary>Whether an area's pages can be collapsed on demand: the settings of the whole machine do not matter, but the area's own do.</summary>
    public bool MayCollapse(Vma vma)
    {
        ulong first = (vma.StartValue + _mask) & ~_mask;
        return vma.File is null && vma.AnonVma is not null && (vma.Flags & (VmaFlags.NoHugePage | VmaFlags.HugeTlb | VmaFlags.PfnMap)) == 0 && !IsTemporaryStack(vma)
            && first >= vma.StartValue && first < vma.EndValue && vma.EndValue - first >= Bytes;
    }

    /// <summary>Makes one huge page because a program asks for it (<c>MADV_COLLAPSE</c>).</summary>
    /// <returns>EINVAL where it cannot be, EAGAIN where a page is in use, EBUSY where the cgroup may not have so much, ENOMEM.</returns>
    public Errno CollapseAdvised(Cpu cpu, Vma vma, ulong address)
    {
        if (Find(vma, address, out _) != 0)
        {
            return Errno.None;
        }

        return TryCollapse(cpu, vma, address, limits: null) switch
        {
            CollapseOutcome.Collapsed => Errno.None,
            CollapseOutcome.NoMemory => Errno.ENOMEM,
            CollapseOutcome.Limited => Errno.EBUSY,
            CollapseOutcome.InUse => Errno.EAGAIN,
            _ => Errno.EINVAL,
        };
    }

    /// <summary>Makes one huge page of the pages of an aligned range, if the limits allow it; null for none, where a program asks for it.</summary>
    public CollapseOutcome TryCollapse(Cpu cpu, Vma vma, ulong address, Khugepaged? limits)
    {
        CollapseOutcome fit = Examine(vma, address, limits, out int swapped);
        if (fit != CollapseOutcome.Collapsed)
        {
            return fit;
        }

        Gfp gfp = limits is null ? Gfp.TransHuge : (limits.Defrag ? Gfp.TransHuge : Gfp.TransHugeLight) | Gfp.ThisNode;
        int head = _pages.AllocateChecked(cpu, gfp, Order, TargetNode(cpu));
        if (head < 0)
        {
            _events.Count(VmEvent.ThpCollapseAllocFailed);
            Settings.Count(Order, HugePageStat.CollapseAllocFailed);
            return CollapseOutcome.NoMemory;
        }

        if (!TryCharge(cpu, vma, head, gfp))
        {
            return limits is null ? CollapseOutcome.Limited : CollapseOutcome.NoMemory;
        }

        _events.Count(VmEvent.ThpCollapseAlloc);
        Settings.Count(Order, HugePageStat.CollapseAlloc);
        CountForCgroup(head, Cgroups.CgroupStat.ThpCollapseAlloc);
        bool still = swapped == 0 || SwapIn(cpu, vma, address);

        // Reclaim may have run in the allocation, and reading from swap has changed entries.
        if (!still || Examine(vma, address, limits, out swapped) != CollapseOutcome.Collapsed || swapped != 0)
        {
            FreeUnused(cpu, head);
            return CollapseOutcome.Changed;
        }

        Collapse(cpu, vma, address, head);
        return CollapseOutcome.Collapsed;
    }

    /// <summary>Whether a range is fit to be collapsed (<c>hpage_collapse_scan_pmd()</c>), or why not.</summary>
    private CollapseOutcome Examine(Vma vma, ulong address, Khugepaged? limits, out int swapped)
    {
        PageTables tables = vma.Mm.Tables;
        swapped = 0;
        ulong slot = tables.FindSlot(address);
        if (slot == 0)
        {
            return CollapseOutcome.NotNow;
        }

        int empty = 0;
        int shared = 0;
        int referenced = 0;
        bool writable = false;
        Array.Clear(_nodeLoad);
        for (int i = 0; i < Pages; i++)
        {
            ulong entry = tables.ReadSlot(slot + ((ulong)i << tables.EntryShift));
            if (_layout.IsProtected(entry) || (_layout.IsSoftProtected(entry) && !_layout.IsPresent(entry)))
            {
                return CollapseOutcome.NotNow;
            }

            if (entry == 0 || (_layout.IsPresent(entry) && _layout.Pfn(entry) == _spaces.ZeroPfn))
            {
                if (vma.Userfaults is not null)
                {
                    return limits is null ? CollapseOutcome.Limited : CollapseOutcome.NotNow;
                }

                if (++empty > limits?.MaxEmpty)
                {
                    _events.Count(VmEvent.ThpScanExceedNonePte);
                    return CollapseOutcome.NotNow;
                }

                continue;
            }

            if (!_layout.IsPresent(entry))
            {
                if (_spaces.Entries.Decode(entry).Kind != SoftEntryKind.Swap)
                {
                    return CollapseOutcome.NotNow;
                }

                if (++swapped > limits?.MaxSwapped)
                {
                    _events.Count(VmEvent.ThpScanExceedSwapPte);
                    return CollapseOutcome.NotNow;
                }

                continue;
            }

            int pfn = _spaces.Entries.PeekPage(vma, address + ((ulong)i << PageGeometry.PageShift), entry);
            if (pfn < 0)
            {
                return CollapseOutcome.NotNow;
            }

            writable |= _layout.IsWritable(entry);
            if (_spaces.Maps.MapCount(pfn) > 1 && ++shared > limits?.MaxShared)
            {
                _events.Count(VmEvent.ThpScanExceedSharePte);
                return CollapseOutcome.NotNow;
            }

            if (!_spaces.Pages.IsAnon(pfn))
            {
                return CollapseOutcome.NotNow;
            }

            if (!IsFit(pfn))
            {
                return CollapseOutcome.InUse;
            }

            _nodeLoad[_spaces.Machine.Zones[_frames[_spaces.Pages.HeadOf(pfn)].ZoneId].Node.Id & 63]++;
            referenced += _layout.IsYoung(entry) || _spaces.Pages.WasNotedUsed(pfn) ? 1 : 0;
        }

        bool fit = (writable || _spaces.Rules.CollapsesReadOnly) && (limits is null || (referenced != 0 && (swapped == 0 || referenced >= Pages / 2)));
        return fit ? CollapseOutcome.Collapsed : CollapseOutcome.NotNow;
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
        BeginUnmapping();
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

        EndUnmapping();
        Settings.Count(Order, HugePageStat.NrAnon);
        _spaces.Pages.PrepareHuge(head);
        _spaces.Maps.AddNewHugeRmap(head, vma, address);
        _spaces.Pages.AddToLru(cpu, head, vma);
        ulong made = _layout.MakeDirty(Make(head, vma.PageBits));
        tables.WriteSlot(pmd, (vma.Flags & VmaFlags.Write) != 0 ? _layout.MakeWritable(made) : made);
    }
}
