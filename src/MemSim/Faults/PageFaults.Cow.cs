using System.Runtime.CompilerServices;
using MemSim.PageCache;
using MemSim.Pages;
using MemSim.Statistics;
using MemSim.VirtualMemory;

namespace MemSim.Faults;

/// <content>Writes to pages mapped read-only (<c>do_wp_page()</c>): used on, or copied.</content>
internal sealed partial class PageFaults
{
    private FaultResult WriteProtectFault(Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry, FaultFlags flags, bool unshare = false)
    {
        if (!unshare && _layout.IsProtected(entry) && vma.Userfaults is { } descriptor)
        {
            if ((descriptor.Features & UserfaultFeatures.ProtectsSilently) == 0)
            {
                return TellUserfault(vma, address, UserfaultModes.Protected, flags);
            }

            entry = ReleaseSilently(vma, slot, entry);
        }

        int old = _layout.Pfn(entry);
        if (PageEntries.IsFrameOf(vma, address, old))
        {
            return FrameWrite(cpu, vma, address, slot, entry, old);
        }

        if (old != _zeroPfn && _entries.NormalPage(vma, address, entry) < 0)
        {
            // There is no page that could be copied.
            return FaultResult.SigBus;
        }

        if (old == _zeroPfn)
        {
            if (_layout.IsDirty(entry))
            {
                return CopyMergedZero(cpu, vma, address, slot, entry, unshare);
            }

            Story?.Add("first write to a page that reads as the zero page: a page of its own");
            return CopyOnWrite(cpu, vma, address, slot, entry, -1, unshare);
        }

        if (_pages.IsAnon(old))
        {
            if (_pages.IsExclusive(old) || MayReuse(cpu, old))
            {
                if (unshare)
                {
                    return FaultResult.None;
                }

                Story?.AddReuse(old);
                return Reuse(vma, slot, entry);
            }
        }
        else if (vma.IsShared)
        {
            return SharedWrite(cpu, vma, address, slot, entry, old);
        }

        if (_spaces.Frames[_pages.HeadOf(old)].IsMerged)
        {
            _events.Count(VmEvent.CowKsm);
        }

        _pages.Get(old);
        FaultResult result = CopyOnWrite(cpu, vma, address, slot, entry, old, unshare);
        _pages.Put(cpu, old);
        return result;
    }

    /// <summary>A page of zeroes in whose place ksmd put the kernel's one becomes one of its own again.</summary>
    private FaultResult CopyMergedZero(Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry, bool unshare)
    {
        FaultResult result = CopyOnWrite(cpu, vma, address, slot, entry, -1, unshare);
        if ((result & FaultResult.Error) == 0 && vma.Mm.Tables.ReadSlot(slot) is var now && _layout.IsPresent(now) && _layout.Pfn(now) != _zeroPfn)
        {
            _machine.Ksm.Merger.CountZero(vma.Mm, entry, -1);
        }

        return result;
    }

    /// <summary>Whether an anonymous page that was shared once is referenced by nothing but this entry (and the swap cache).</summary>
    private bool MayReuse(Cpu cpu, int pfn)
    {
        if (_spaces.Frames[_pages.HeadOf(pfn)].IsMerged)
        {
            // ksmd may give it another user at any time.
            return false;
        }

        // 6.1: more than three references (entry, swap cache, LRU batch) cannot come down to one.
        if (_pages.RefCount(pfn) > 3)
        {
            return false;
        }

        if (!_pages.HasFlag(pfn, PageFlags.Lru))
        {
            _lru.Drain(cpu);
        }

        if (_pages.RefCount(pfn) > 1 + (_pages.IsSwapCache(pfn) ? 1 : 0) || _pages.HasFlag(pfn, PageFlags.Locked))
        {
            return false;
        }

        if (_pages.IsSwapCache(pfn))
        {
            _ = _spaces.Swap?.TryFreeSlot(cpu, pfn);
        }

        if (_pages.RefCount(pfn) != 1)
        {
            return false;
        }

        _pages.SetFlag(pfn, PageFrame.AnonExclusive);
        return true;
    }

    private FaultResult Reuse(Vma vma, ulong slot, ulong entry)
    {
        entry = _layout.MakeDirty(_layout.MakeYoung(entry));
        if ((vma.Flags & VmaFlags.Write) != 0)
        {
            entry = _layout.MakeWritable(entry);
        }

        vma.Mm.Tables.WriteSlot(slot, entry);
        _events.CountHere(VmEvent.Reuse, _machine.IsParallel);
        return FaultResult.None;
    }

    /// <summary>The first write to a clean page of a file through a shared mapping (<c>wp_page_shared()</c>).</summary>
    private FaultResult SharedWrite(Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry, int pfn)
    {
        _pages.Get(pfn);
        bool mayWrite = vma.Mapping!.PageMkWrite(cpu, pfn);
        if (mayWrite && vma.Mm.Tables.ReadSlot(slot) == entry)
        {
            Story?.AddFirstWrite(pfn);
            _ = Reuse(vma, slot, entry);
            _ = vma.Mapping.SetDirty(cpu, pfn);
        }

        _ = address;
        _pages.Put(cpu, pfn);
        vma.Mapping.BalanceDirty(cpu);
        return mayWrite ? FaultResult.None : FaultResult.SigBus;
    }

    /// <summary>The first write to a frame mapped as such: used on where it is shared (<c>wp_pfn_shared()</c>), else copied.</summary>
    private FaultResult FrameWrite(Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry, int pfn)
    {
        if (vma.IsShared)
        {
            Story?.Add($"first write to frame 0x{pfn:x} of {vma.Device}: writable from now on");
            return Reuse(vma, slot, entry);
        }

        return _mmu.IsRam((ulong)pfn << PageGeometry.PageShift) ? CopyOnWrite(cpu, vma, address, slot, entry, pfn, unshare: false, hasOwner: false) : FaultResult.SigBus;
    }

    /// <summary>Maps a private copy (<c>wp_page_copy()</c>).</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="vma">The area.</param>
    /// <param name="address">The page's address.</param>
    /// <param name="slot">Its entry's place.</param>
    /// <param name="entry">Its entry.</param>
    /// <param name="old">The page to copy, on which the caller holds a reference; -1 for zeroes.</param>
    /// <param name="unshare">Whether the copy is not to be written to.</param>
    /// <param name="hasOwner">Whether what is copied is a page that counts who maps it.</param>
    private FaultResult CopyOnWrite(Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry, int old, bool unshare, bool hasOwner = true)
    {
        MemoryDescriptor mm = vma.Mm;
        if (vma.AnonVma is null && !_spaces.Anon.Prepare(cpu, vma))
        {
            return FaultResult.Oom;
        }

        int copy = AllocateAnon(cpu, vma, address, zero: old < 0);
        if (copy < 0)
        {
            return FaultResult.Oom;
        }

        if (old >= 0)
        {
            _pages.CopyPage(old, copy);
        }

        if (mm.Tables.ReadSlot(slot) != entry)
        {
            _pages.Put(cpu, copy);
            return FaultResult.None;
        }

        bool leavesPage = old >= 0 && hasOwner;
        if (!leavesPage)
        {
            mm.AnonPages++;
        }
        else if (!_pages.IsAnon(old))
        {
            mm.CountResident(old, -1);
            mm.AnonPages++;
        }

        ulong made = _layout.Make(copy, vma.PageBits);
        made = !unshare ? _layout.MakeDirty(made) : _layout.IsProtected(entry) ? _layout.Protect(made) : made;
        if (!unshare && (vma.Flags & VmaFlags.Write) != 0)
        {
            made = _layout.MakeWritable(made);
        }

        // The old entry is cleared and flushed before the new one appears: no CPU may see both pages.
        mm.Tables.WriteSlot(slot, 0);
        _mmu.FlushPage(cpu, mm.Tables, new VirtualAddress(address));
        _maps.AddNewAnonRmap(copy, vma, address);
        _pages.AddToLru(cpu, copy, vma);
        mm.Tables.WriteSlot(slot, made);
        if (Story is not null)
        {
            TellCopy(vma, old, copy, hasOwner);
        }

        if (leavesPage)
        {
            _maps.RemoveRmap(cpu, old, vma);
            if (_pages.IsSwapCache(old) && _maps.MapCount(old) == 0 && !_pages.HasFlag(old, PageFlags.Locked))
            {
                _ = _spaces.Swap?.TryFreeSlot(cpu, old);
            }

            _pages.Put(cpu, old);
        }

        return FaultResult.None;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void TellCopy(Vma vma, int old, int copy, bool hasOwner) =>
        Story?.Add(!hasOwner ? $"frame 0x{old:x} of {vma.Device}: copied to page 0x{copy:x}" : old >= 0 ? $"page 0x{old:x} is shared (mapped {_maps.MapCount(old)} times, {_pages.RefCount(old)} references): copied to 0x{copy:x}" : $"zeroed page 0x{copy:x}");
}
