using MemSim.Faults;
using MemSim.PageCache;
using MemSim.Statistics;

namespace MemSim.HugePages;

/// <content>Faults.</content>
internal sealed partial class TransparentHugeMemory
{
    /// <summary>A fault where a huge page is, or could be.</summary>
    /// <returns><see cref="FaultResult.Fallback"/> when small pages are to serve it.</returns>
    public FaultResult Fault(Cpu cpu, Vma vma, ulong address, FaultFlags flags)
    {
        FaultResult whole = WholeFault(cpu, vma, address, flags);
        return whole == FaultResult.Fallback && EnabledOrders != 0 && (flags & FaultFlags.Write) != 0 ? SizedFault(cpu, vma, address) : whole;
    }

    private FaultResult WholeFault(Cpu cpu, Vma vma, ulong address, FaultFlags flags)
    {
        PageTables tables = vma.Mm.Tables;
        ulong slot = tables.FindPmd(address);
        ulong entry = slot == 0 ? 0 : tables.ReadSlot(slot);
        if (entry == 0)
        {
            return vma.Userfaults is null && MayHaveHuge(vma) ? FirstFault(cpu, vma, address, flags) : FaultResult.Fallback;
        }

        if (!IsMapped(vma, address, entry))
        {
            // A table, or rubbish: whoever makes the table for small pages finds out.
            return FaultResult.Fallback;
        }

        if (_layout.IsProtNone(_layout.MakeSmall(entry)) && (vma.Flags & (VmaFlags.Read | VmaFlags.Write | VmaFlags.Exec)) != 0)
        {
            return HintFault(cpu, vma, address & ~_mask, slot, entry);
        }

        if ((flags & FaultFlags.Unshare) != 0)
        {
            // The page of its own will be a small one.
            SplitEntry(cpu, vma, address & ~_mask);
            return FaultResult.Fallback;
        }

        if ((flags & FaultFlags.Write) != 0)
        {
            if (!_layout.IsWritable(entry))
            {
                return WriteProtectFault(cpu, vma, address, slot, entry);
            }

        }

        while (!tables.TryChangeSlot(slot, ref entry, _layout.MakeYoung((flags & FaultFlags.Write) != 0 ? _layout.MakeDirty(entry) : entry)))
        {
        }

        return FaultResult.None;
    }

    /// <summary>First use of a range of 2 MiB (<c>do_huge_pmd_anonymous_page()</c>).</summary>
    private FaultResult FirstFault(Cpu cpu, Vma vma, ulong address, FaultFlags flags)
    {
        if (!Fits(vma, address))
        {
            return FaultResult.Fallback;
        }

        MemoryDescriptor mm = vma.Mm;
        PageTables tables = mm.Tables;
        ulong slot = tables.EnsurePmd(cpu, address);
        if (slot == 0 || !_spaces.Anon.Prepare(cpu, vma))
        {
            return FaultResult.Oom;
        }

        Settings.Khugepaged.Enter(mm);
        if ((flags & FaultFlags.Write) == 0 && Settings.UseZeroPage)
        {
            return MapZero(cpu, vma, slot);
        }

        int head = Allocate(cpu, vma, address & ~_mask, out Gfp gfp);
        if (head >= 0 && !TryCharge(cpu, vma, head, gfp))
        {
            _events.Count(VmEvent.ThpFaultFallbackCharge);
            Settings.Count(Order, HugePageStat.AnonFaultFallbackCharge);
            head = -1;
        }

        if (head < 0)
        {
            _events.Count(VmEvent.ThpFaultFallback);
            Settings.Count(Order, HugePageStat.AnonFaultFallback);
            _spaces.Faults.Story?.Add($"no block of order {Order}: small pages must do");
            return FaultResult.Fallback;
        }

        if (!tables.Deposit(cpu))
        {
            FreeUnused(cpu, head);
            return FaultResult.Oom;
        }

        _spaces.Machine.Ram.Zero(head, Pages);
        if (tables.ReadSlot(slot) != 0)
        {
            tables.FreeDeposit(cpu);
            FreeUnused(cpu, head);
            return FaultResult.None;
        }

        ulong entry = _layout.MakeDirty(Make(head, vma.PageBits));
        if ((vma.Flags & VmaFlags.Write) != 0)
        {
            entry = _layout.MakeWritable(entry);
        }

        _spaces.Pages.PrepareHuge(head);
        _spaces.Maps.AddNewHugeRmap(head, vma, address & ~_mask);
        _spaces.Pages.AddToLru(cpu, head, vma);
        tables.WriteSlot(slot, entry);
        mm.AnonPages += Pages;
        _events.Count(VmEvent.ThpFaultAlloc);
        Settings.Count(Order, HugePageStat.AnonFaultAlloc);
        Settings.Count(Order, HugePageStat.NrAnon);
        CountForCgroup(head, Cgroups.CgroupStat.ThpFaultAlloc);
        _spaces.Faults.Story?.Add($"first use of 2 MiB of anonymous memory: huge page 0x{head:x}, zeroed; a page table is put by for splitting it");
        return FaultResult.None;
    }

    private FaultResult MapZero(Cpu cpu, Vma vma, ulong slot)
    {
        PageTables tables = vma.Mm.Tables;
        if (!TakeZero(cpu, vma.Mm))
        {
            _events.Count(VmEvent.ThpFaultFallback);
            Settings.Count(Order, HugePageStat.AnonFaultFallback);
            return FaultResult.Fallback;
        }

        if (!tables.Deposit(cpu))
        {
            return FaultResult.Oom;
        }

        if (tables.ReadSlot(slot) != 0)
        {
            tables.FreeDeposit(cpu);
            return FaultResult.None;
        }

        tables.WriteSlot(slot, Make(ZeroPfn, vma.PageBits));
        _spaces.Faults.Story?.Add($"read of 2 MiB of untouched anonymous memory: the huge zero page, frame 0x{ZeroPfn:x}, read-only");
        return FaultResult.None;
    }

    /// <summary>A write to a huge page mapped read-only (<c>do_huge_pmd_wp_page()</c>): used on when nobody else has it, else split and copied page by page.</summary>
    private FaultResult WriteProtectFault(Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry)
    {
        int head = _layout.Pfn(entry);
        if (head != ZeroPfn)
        {
            bool alone = _spaces.Pages.IsExclusive(head);
            if (!alone && _spaces.Pages.RefCount(head) == 1 && !_spaces.Pages.HasFlag(head, PageFlags.Locked))
            {
                _spaces.Pages.SetFlag(head, MemSim.Pages.PageFrame.AnonExclusive);
                alone = true;
            }

            if (alone)
            {
                entry = _layout.MakeDirty(_layout.MakeYoung(entry));
                vma.Mm.Tables.WriteSlot(slot, (vma.Flags & VmaFlags.Write) != 0 ? _layout.MakeWritable(entry) : entry);
                _spaces.Faults.Story?.Add($"huge page 0x{head:x} is this process's alone: it becomes writable, nothing is copied");
                return FaultResult.None;
            }
        }

        _spaces.Faults.Story?.Add($"huge page 0x{head:x} is shared: its entry is split, then one small page is copied");
        SplitEntry(cpu, vma, address & ~_mask);
        return FaultResult.Fallback;
    }

    /// <summary>A block of order 9 as the defrag setting and the policies have it (<c>vma_thp_gfp_mask()</c>, <c>vma_alloc_folio()</c>).</summary>
    private int Allocate(Cpu cpu, Vma vma, ulong address, out Gfp gfp)
    {
        gfp = FlagsFor(vma);
        return AllocateBlock(cpu, vma.Policy ?? cpu.Current.Policy, vma.IndexOf(address), gfp);
    }

    /// <summary>How hard a fault tries for a large page.</summary>
    private Gfp FlagsFor(Vma vma)
    {
        bool asked = (vma.Flags & VmaFlags.HugePage) != 0;
        return Settings.Defrag switch
        {
            HugePageDefrag.Always => Gfp.TransHuge | (asked ? 0 : Gfp.NoRetry),
            HugePageDefrag.Defer => Gfp.TransHugeLight | Gfp.KswapdReclaim,
            HugePageDefrag.DeferMadvise => Gfp.TransHugeLight | (asked ? Gfp.DirectReclaim : Gfp.KswapdReclaim),
            HugePageDefrag.Madvise => Gfp.TransHugeLight | (asked ? Gfp.DirectReclaim : 0),
            _ => Gfp.TransHugeLight,
        };
    }

    /// <summary>On the wanted node only at first, because a huge page elsewhere is worse than small ones here; elsewhere only if it may cost something.</summary>
    internal int AllocateBlock(Cpu cpu, MemoryPolicy? policy, ulong index, Gfp gfp)
    {
        Node node = cpu.Node;
        if (policy is { Spreads: true })
        {
            node = _spaces.Machine.ZoneTable.NodeOrDefault(policy.InterleavedAt((long)(index >> Order), _pages.MemoryNodes(), _spaces.Machine.ZoneTable.InterleaveWeights)) ?? node;
            return _pages.AllocateChecked(cpu, gfp, Order, node);
        }

        if (policy is not null && (policy.NodeMask >> node.Id & 1) == 0)
        {
            MemoryPolicy? own = cpu.Current.Policy;
            cpu.Current.Policy = policy;
            int found = _pages.Allocate(cpu, gfp, Order);
            cpu.Current.Policy = own;
            return found;
        }

        int pfn = _pages.AllocateChecked(cpu, gfp | Gfp.ThisNode | Gfp.NoRetry, Order, node);
        return pfn >= 0 || (gfp & Gfp.DirectReclaim) == 0 || _spaces.Machine.Nodes.Count == 1 && (gfp & Gfp.NoRetry) != 0 ? pfn : _pages.AllocateChecked(cpu, gfp, Order, node);
    }

    /// <summary>Charges a huge page, or frees it: above the limit small pages must do.</summary>
    private bool TryCharge(Cpu cpu, Vma vma, int head, Gfp gfp)
    {
        if (_spaces.Machine.Hooks.Charges is null || _spaces.Machine.Cgroups.TryCharge(cpu, vma.Mm.Owner, head, gfp))
        {
            return true;
        }

        FreeUnused(cpu, head);
        return false;
    }

    private void CountForCgroup(int head, Cgroups.CgroupStat stat)
    {
        if (_spaces.Machine.Hooks.Charges is not null)
        {
            _spaces.Machine.Cgroups.PayerOf(head)?.Count(stat, 1);
        }
    }

    private void FreeUnused(Cpu cpu, int head)
    {
        _spaces.Machine.Frames.AddReferences(head, -1);
        _pages.FreeBlock(cpu, head, _frames[head].Order);
    }
}
