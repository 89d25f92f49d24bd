using MemSim.PageCache;

namespace MemSim.Faults;

/// <content>Pages that somebody wants to hold (<c>mm/gup.c</c>).</content>
internal sealed partial class PageFaults
{
    /// <summary>Finds the page at an address, faulting it in as often as it takes, in a state in which it may be pinned: writable, or of this address space alone, or of a file.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="vma">The area.</param>
    /// <param name="address">The address.</param>
    /// <param name="write">Whether it will be written to.</param>
    /// <param name="longTerm">Whether it stays pinned for long: then private mappings get a page of their own even of files and of the page of zeroes (since 6.2).</param>
    /// <param name="pfn">The page, without a reference for the caller; the page of zeroes is one.</param>
    public FaultResult FindToPin(Cpu cpu, Vma vma, ulong address, bool write, bool longTerm, out int pfn)
    {
        address &= ~(ulong)(PageGeometry.PageSize - 1);
        if (vma.MapsFrames)
        {
            // There is no page that could count who holds it.
            pfn = -1;
            return FaultResult.SigBus;
        }

        bool ownAlways = longTerm && !write && vma.IsCow && _spaces.Rules.UnsharesForLongPins;
        for (int i = 0; i < 8; i++)
        {
            ulong entry = EntryAt(vma, address);
            FaultFlags needed = FaultFlags.Remote;
            if (entry == 0 || !_layout.IsPresent(entry) || (write && !_layout.IsWritable(entry)))
            {
                needed |= write ? FaultFlags.Write : 0;
            }
            else
            {
                pfn = _layout.Pfn(entry);
                bool zero = pfn == _zeroPfn;
                if (!zero && vma.Hugetlb is null && _entries.NormalPage(vma, address, entry) < 0)
                {
                    return FaultResult.SigBus;
                }

                bool anon = !zero && _pages.IsAnon(pfn);
                if (write || vma.Hugetlb is not null || (anon ? _pages.IsExclusive(vma.Mm.Tables.FindSlot(address) == 0 ? _pages.HeadOf(pfn) : pfn) : !ownAlways))
                {
                    return FaultResult.None;
                }

                needed |= FaultFlags.Unshare;
            }

            FaultResult result = HandleFault(cpu, vma, address, needed);
            if ((result & FaultResult.Error) != 0)
            {
                pfn = -1;
                return result;
            }
        }

        pfn = -1;
        return FaultResult.SigBus;
    }

    private ulong EntryAt(Vma vma, ulong address)
    {
        if (vma.Hugetlb is { } huge)
        {
            if (_spaces.Hugetlb.Find(vma, address, out ulong whole) == 0 || whole == 0)
            {
                return 0;
            }

            ulong small = _layout.Make(_layout.Pfn(whole) + (int)((address & (huge.Bytes - 1)) >> PageGeometry.PageShift), vma.PageBits);
            return _layout.IsWritable(whole) ? _layout.MakeWritable(small) : small;
        }

        ulong slot = vma.Mm.Tables.FindSlot(address);
        if (slot != 0)
        {
            return vma.Mm.Tables.ReadSlot(slot);
        }

        if (!_spaces.UsesHugePages || _spaces.Huge.Find(vma, address, out ulong entry) == 0)
        {
            return 0;
        }

        ulong part = _spaces.Huge.PartOf(vma, address);
        return _layout.IsWritable(entry) ? _layout.MakeWritable(part) : part;
    }
}
