using MemSim.PageCache;

namespace MemSim.HugePages;

/// <content>Large pages smaller than what an entry of the second level maps: a block of frames, mapped by as many entries of the lowest level (mTHP, Linux 6.8).</content>
internal sealed partial class TransparentHugeMemory
{
    private readonly List<int> _unmapping = [];
    private bool _gathers;

    /// <summary>Orders below <see cref="Order"/> that somebody may get, a bit each: faults need not ask otherwise.</summary>
    public int EnabledOrders { get; set; }

    /// <summary>First write to an address where a large page may be made (<c>alloc_anon_folio()</c>).</summary>
    /// <returns><see cref="FaultResult.Fallback"/> when a small page is to serve it.</returns>
    private FaultResult SizedFault(Cpu cpu, Vma vma, ulong address)
    {
        int orders = OrdersFor(vma);
        if (orders == 0 || vma.Userfaults is not null)
        {
            return FaultResult.Fallback;
        }

        PageTables tables = vma.Mm.Tables;
        ulong slot = tables.EnsureSlot(cpu, address);
        if (slot == 0 || !_spaces.Anon.Prepare(cpu, vma))
        {
            return FaultResult.Oom;
        }

        int order = System.Numerics.BitOperations.Log2((uint)orders);
        while (orders != 0 && !IsEmpty(vma, tables, slot, address, order))
        {
            orders &= ~(1 << order);
            order = orders != 0 ? System.Numerics.BitOperations.Log2((uint)orders) : 0;
        }

        while (orders != 0)
        {
            int head = AllocateSized(cpu, vma, address, order);
            if (head >= 0)
            {
                return MapSized(cpu, vma, address, slot, head, order);
            }

            Settings.Count(order, HugePageStat.AnonFaultFallback);
            orders &= ~(1 << order);
            order = orders != 0 ? System.Numerics.BitOperations.Log2((uint)orders) : 0;
        }

        return FaultResult.Fallback;
    }

    /// <summary>Orders that an area may have, a bit each (<c>thp_vma_allowable_orders()</c>). Locked areas have small pages here, which are locked one by one.</summary>
    private int OrdersFor(Vma vma)
    {
        const VmaFlags never = VmaFlags.NoHugePage | VmaFlags.HugeTlb | VmaFlags.Locked;
        int orders = 0;
        if (vma.File is not null || (vma.Flags & never) != 0 || IsTemporaryStack(vma))
        {
            return 0;
        }

        for (int left = EnabledOrders; left != 0; left &= left - 1)
        {
            int order = System.Numerics.BitOperations.TrailingZeroCount(left);
            orders |= Settings.SizeOf(order)!.IsFor(vma) ? 1 << order : 0;
        }

        return orders;
    }

    /// <summary>Whether the aligned range around an address lies in the area, and no entry of it is used (<c>pte_range_none()</c>).</summary>
    private static bool IsEmpty(Vma vma, PageTables tables, ulong slot, ulong address, int order)
    {
        ulong mask = ((ulong)PageGeometry.PageSize << order) - 1;
        ulong start = address & ~mask;
        if (start < vma.StartValue || start + mask >= vma.EndValue)
        {
            return false;
        }

        ulong first = slot - (((address - start) >> PageGeometry.PageShift) << tables.EntryShift);
        for (int i = 0; i < 1 << order; i++)
        {
            if (tables.ReadSlot(first + ((ulong)i << tables.EntryShift)) != 0)
            {
                return false;
            }
        }

        return true;
    }

    private int AllocateSized(Cpu cpu, Vma vma, ulong address, int order)
    {
        Gfp gfp = FlagsFor(vma);
        int head = vma.Policy is { } policy
            ? _pages.AllocateByPolicy(cpu, gfp, order, policy, vma.IndexOf(address) >> order)
            : _pages.Allocate(cpu, gfp, order);
        if (head >= 0 && !TryCharge(cpu, vma, head, gfp))
        {
            Settings.Count(order, HugePageStat.AnonFaultFallbackCharge);
            return -1;
        }

        return head;
    }

    /// <summary>Maps a fresh page by as many entries as it has frames.</summary>
    private FaultResult MapSized(Cpu cpu, Vma vma, ulong address, ulong slot, int head, int order)
    {
        PageTables tables = vma.Mm.Tables;
        int pages = 1 << order;
        if (!IsEmpty(vma, tables, slot, address, order))
        {
            // Reclaim ran in the allocation, and somebody was faster.
            FreeUnused(cpu, head);
            return FaultResult.None;
        }

        ulong start = address & ~(((ulong)PageGeometry.PageSize << order) - 1);
        ulong at = slot - (((address - start) >> PageGeometry.PageShift) << tables.EntryShift);
        _spaces.Machine.Ram.Zero(head, pages);
        _spaces.Pages.PrepareHuge(head);
        _spaces.Maps.AddNewSizedRmap(head, vma, start);
        _spaces.Machine.Frames.AddReferences(head, pages - 1);
        vma.Mm.AnonPages += pages;
        Settings.Count(order, HugePageStat.AnonFaultAlloc);
        Settings.Count(order, HugePageStat.NrAnon);
        _spaces.Pages.AddToLru(cpu, head, vma);
        for (int i = 0; i < pages; i++, at += 1UL << tables.EntryShift)
        {
            ulong entry = _layout.Make(head + i, vma.PageBits);
            tables.WriteSlot(at, (vma.Flags & VmaFlags.Write) != 0 ? _layout.MakeWritable(_layout.MakeDirty(entry)) : entry);
        }

        _spaces.Faults.Story?.Add($"first write to anonymous memory: a large page of {pages} frames from 0x{head:x} on, zeroed, mapped by {pages} entries");
        return FaultResult.None;
    }

    /// <summary>Entries are taken away one after the other: whether large pages are partly unmapped shows at the end.</summary>
    public void BeginUnmapping() => _gathers = true;

    /// <summary>The end of that: pages of which something is mapped still wait to be split.</summary>
    public void EndUnmapping()
    {
        if (!_gathers)
        {
            return;
        }

        _gathers = false;
        foreach (int head in _unmapping)
        {
            if (_frames[head].Order != 0 && _spaces.Maps.TotalMapCount(head) > 0)
            {
                DeferSplit(head);
            }
        }

        _unmapping.Clear();
    }
}
