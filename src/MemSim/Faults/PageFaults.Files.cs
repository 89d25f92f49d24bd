using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using MemSim.Hardware;
using MemSim.PageCache;
using MemSim.Pages;
using MemSim.Statistics;

namespace MemSim.Faults;

/// <content>Faults on pages of files, in swap, or being moved.</content>
internal sealed partial class PageFaults
{
    // fault_around_bytes is 64 KiB.
    private const int AroundPages = (64 << 10) / PageGeometry.PageSize;

    private FaultResult FileFault(Cpu cpu, Vma vma, ulong address, ulong slot, FaultFlags flags)
    {
        if (vma.Userfaults is not null)
        {
            return WatchedFault(cpu, vma, address, slot, flags);
        }

        if ((flags & FaultFlags.Write) == 0)
        {
            return ReadFault(cpu, vma, address, slot);
        }

        return vma.IsShared ? SharedFault(cpu, vma, address, slot) : PrivateCopyFault(cpu, vma, address, slot);
    }

    private static FileAccessAdvice Advice(Vma vma) => (vma.Flags & (VmaFlags.RandomRead | VmaFlags.SequentialRead)) switch
    {
        VmaFlags.RandomRead => FileAccessAdvice.Random,
        VmaFlags.SequentialRead => FileAccessAdvice.Sequential,
        _ => FileAccessAdvice.Normal,
    };

    /// <summary>A read (<c>do_read_fault()</c>): pages around it that are in memory are mapped along.</summary>
    private FaultResult ReadFault(Cpu cpu, Vma vma, ulong address, ulong slot)
    {
        MapAround(cpu, vma, address);
        return vma.Mm.Tables.ReadSlot(slot) != 0 ? FaultResult.NoPage : ReadFaultOfOne(cpu, vma, address, slot);
    }

    private FaultResult ReadFaultOfOne(Cpu cpu, Vma vma, ulong address, ulong slot)
    {
        PageTables tables = vma.Mm.Tables;

        FaultResult result = vma.Mapping!.GetPageForFault(cpu, vma.IndexOf(address), out int pfn, vma.File, Advice(vma));
        if ((result & FaultResult.Error) != 0)
        {
            return result;
        }

        if (tables.ReadSlot(slot) != 0)
        {
            _pages.Put(cpu, pfn);
            return result | FaultResult.NoPage;
        }

        MapFilePage(cpu, vma, slot, pfn, _layout.Make(pfn, vma.PageBits));
        Story?.AddRead(pfn, (result & FaultResult.Major) != 0);
        return result;
    }

    /// <summary>A write to a private mapping of a file (<c>do_cow_fault()</c>): the copy is made at once.</summary>
    private FaultResult PrivateCopyFault(Cpu cpu, Vma vma, ulong address, ulong slot)
    {
        if (!_spaces.Anon.Prepare(cpu, vma))
        {
            return FaultResult.Oom;
        }

        int copy = AllocateAnon(cpu, vma, address, zero: false);
        if (copy < 0)
        {
            return FaultResult.Oom;
        }

        FaultResult result = vma.Mapping!.GetPageForFault(cpu, vma.IndexOf(address), out int pfn, vma.File, Advice(vma));
        if ((result & FaultResult.Error) != 0)
        {
            _pages.Put(cpu, copy);
            return result;
        }

        _pages.CopyPage(pfn, copy);
        _pages.Put(cpu, pfn);
        MemoryDescriptor mm = vma.Mm;
        if (mm.Tables.ReadSlot(slot) != 0)
        {
            _pages.Put(cpu, copy);
            return result | FaultResult.NoPage;
        }

        ulong entry = _layout.MakeDirty(_layout.Make(copy, vma.PageBits));
        if ((vma.Flags & VmaFlags.Write) != 0)
        {
            entry = _layout.MakeWritable(entry);
        }

        mm.AnonPages++;
        _maps.AddNewAnonRmap(copy, vma, address);
        _pages.AddToLru(cpu, copy, vma);
        mm.Tables.WriteSlot(slot, entry);
        Story?.AddPrivateCopy(pfn, copy);
        return result;
    }

    /// <summary>A write to a shared mapping of a file (<c>do_shared_fault()</c>).</summary>
    private FaultResult SharedFault(Cpu cpu, Vma vma, ulong address, ulong slot)
    {
        FaultResult result = vma.Mapping!.GetPageForFault(cpu, vma.IndexOf(address), out int pfn, vma.File, Advice(vma));
        if ((result & FaultResult.Error) != 0)
        {
            return result;
        }

        PageTables tables = vma.Mm.Tables;
        bool mayWrite = vma.Mapping.PageMkWrite(cpu, pfn);
        if (!mayWrite || tables.ReadSlot(slot) != 0)
        {
            _pages.Put(cpu, pfn);
            return mayWrite ? result | FaultResult.NoPage : FaultResult.SigBus;
        }

        ulong entry = _layout.MakeDirty(_layout.Make(pfn, vma.PageBits));
        MapFilePage(cpu, vma, slot, pfn, (vma.Flags & VmaFlags.Write) != 0 ? _layout.MakeWritable(entry) : entry);
        _ = vma.Mapping.SetDirty(cpu, pfn);
        Story?.AddSharedWrite(pfn);
        vma.Mapping.BalanceDirty(cpu);
        return result;
    }

    /// <summary>Maps what is in memory in the 64 KiB around an address (<c>do_fault_around()</c>, <c>filemap_map_pages()</c>): aligned, or from the area's start, and within one page table.</summary>
    private void MapAround(Cpu cpu, Vma vma, ulong address)
    {
        const ulong window = AroundPages << PageGeometry.PageShift;
        ulong start = Math.Max(address & ~(window - 1), vma.StartValue);
        ulong table = _layout.TableBytes;
        ulong end = Math.Min(Math.Min(start + window, vma.EndValue), (address & ~(table - 1)) + table);
        PageTables tables = vma.Mm.Tables;
        FileMapping file = vma.Mapping!;
        uint index = vma.IndexOf(start);
        file.SplitRange(cpu, index, vma.IndexOf(end - 1));
        ulong slot = tables.FindSlot(start);
        if (slot == 0)
        {
            return;
        }

        int mapped = 0;
        int count = (int)((end - start) >> PageGeometry.PageShift);
        ulong bits = vma.PageBits;
        bool startsYoung = _spaces.Addresses.IsX86;
        Span<int> pages = stackalloc int[AroundPages];
        file.PeekAll(index, pages[..count]);
        if (tables.EntryShift == 3 && !tables.IsShared && (vma.Flags & VmaFlags.Locked) == 0)
        {
            mapped = MapAll(vma, slot, pages[..count], startsYoung ? -1 : (int)((address - start) >> PageGeometry.PageShift));
            count = 0;
        }

        for (int i = 0; i < count; i++)
        {
            int pfn = pages[i];
            ulong place = slot + ((ulong)(uint)i << tables.EntryShift);
            if (pfn < 0 || tables.ReadSlot(place) != 0)
            {
                continue;
            }

            _pages.Get(pfn);
            ulong entry = _layout.Make(pfn, bits);

            // arm64 sets the access flag in hardware, so entries made ahead start old; x86 has them young.
            bool isAsked = start + ((ulong)(uint)i << PageGeometry.PageShift) == address;
            MapFilePage(cpu, vma, place, pfn, isAsked || startsYoung ? entry : _layout.MakeOld(entry));
            mapped++;
        }

        if (mapped != 0 && Story is not null)
        {
            TellAround(mapped);
        }
    }

    /// <summary>Maps pages of a file one after the other, where entries have eight bytes, no other CPU marks them meanwhile and the area is not locked.</summary>
    /// <param name="vma">The area.</param>
    /// <param name="slot">The first one's entry.</param>
    /// <param name="pages">The pages; -1 where there is none.</param>
    /// <param name="young">The only one whose entry starts young; -1 for all of them.</param>
    /// <returns>How many were mapped: those whose entries were empty.</returns>
    private int MapAll(Vma vma, ulong slot, ReadOnlySpan<int> pages, int young)
    {
        Span<ulong> entries = MemoryMarshal.Cast<byte, ulong>(_machine.Ram.Range(slot, pages.Length << 3));
        FrameArray frames = _spaces.Frames;
        ulong bits = vma.PageBits;
        int ofFiles = 0;
        int ofSharedMemory = 0;
        for (int i = 0; i < pages.Length; i++)
        {
            int pfn = pages[i];
            if (pfn < 0 || entries[i] != 0)
            {
                continue;
            }

            ref PageFrame frame = ref frames[pfn];
            frame.AddReferences(1, shared: false);
            _maps.AddFileRmap(ref frame);
            int shared = frame.IsSwapBacked ? 1 : 0;
            ofSharedMemory += shared;
            ofFiles += 1 - shared;
            ulong entry = _layout.Make(pfn, bits);
            entries[i] = young < 0 || young == i ? entry : _layout.MakeOld(entry);
        }

        vma.Mm.FilePages += ofFiles;
        vma.Mm.SharedMemoryPages += ofSharedMemory;
        return ofFiles + ofSharedMemory;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void TellAround(int mapped) => Story?.Add($"{mapped} pages around the address were in the page cache and are mapped");

    /// <summary>Maps a page of a file; the caller's reference becomes the entry's.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void MapFilePage(Cpu cpu, Vma vma, ulong slot, int pfn, ulong entry)
    {
        vma.Mm.CountFilePage(_spaces.Frames[pfn], 1);
        _maps.AddFileRmap(pfn);
        vma.Mm.Tables.WriteSlot(slot, entry);
        if ((vma.Flags & VmaFlags.Locked) != 0)
        {
            _lru.Mlock(cpu, pfn);
        }
    }

    /// <summary>An entry that only remembers something of its address (<c>handle_pte_marker()</c>).</summary>
    private FaultResult MarkerFault(Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry, FaultFlags flags)
    {
        PteMarkers markers = _layout.Markers(entry);
        if ((markers & PteMarkers.Guard) != 0)
        {
            Story?.Add("a guard (MADV_GUARD_INSTALL): no access is allowed here");
            return FaultResult.SigSegv;
        }

        if ((markers & PteMarkers.Poisoned) != 0)
        {
            Story?.Add("the page was declared lost (UFFDIO_POISON)");
            return FaultResult.HwPoison;
        }

        // A page is missing, and what comes in its place is protected.
        PageTables tables = vma.Mm.Tables;
        tables.WriteSlot(slot, 0);
        FaultResult result = Handle(cpu, vma, address, flags);
        ulong made = tables.ReadSlot(slot);
        if (vma.Userfaults is not null && (made == 0 || _layout.IsPresent(made)))
        {
            tables.WriteSlot(slot, made == 0 ? entry : _layout.Protect(made));
            _mmu.FlushPage(cpu, tables, new VirtualAddress(address));
        }

        return result;
    }

    /// <summary>An entry that stands for a page elsewhere (<c>do_swap_page()</c>).</summary>
    private FaultResult SoftEntryFault(Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry, FaultFlags flags)
    {
        SoftEntry soft = _entries.Decode(entry);
        if (soft.Kind == SoftEntryKind.Marker)
        {
            return MarkerFault(cpu, vma, address, slot, entry, flags);
        }

        if (soft.Kind is SoftEntryKind.None or SoftEntryKind.HwPoison or SoftEntryKind.Bad)
        {
            if (soft.Kind == SoftEntryKind.HwPoison)
            {
                return FaultResult.HwPoison;
            }

            _entries.ReportBadPageMap(vma, address, entry);
            return FaultResult.SigBus;
        }

        if (soft.Kind != SoftEntryKind.Swap)
        {
            // Whoever moves the page is a background thread that sleeps: let it finish.
            Story?.AddMove(soft.Offset);
            _ = _machine.Background.Tasks.RunPending(cpu);
            return FaultResult.Retry;
        }

        if (_spaces.Swap is null)
        {
            return FaultResult.SigBus;
        }

        FaultResult result = _spaces.Swap.SwapIn(cpu, vma, address, soft, out int pfn);
        if ((result & FaultResult.Error) != 0 || pfn < 0)
        {
            return result;
        }

        MemoryDescriptor mm = vma.Mm;
        if (vma.AnonVma is null || mm.Tables.ReadSlot(slot) != entry)
        {
            _pages.Put(cpu, pfn);
            return result;
        }

        bool write = (flags & FaultFlags.Write) != 0;
        if (_machine.Ksm.Merger.MustCopy(pfn, vma, address))
        {
            return MapCopyOfSwapped(cpu, vma, address, slot, entry, soft, pfn, write) | result;
        }

        bool alone = _spaces.Swap.MappedAgain(cpu, soft, pfn, write, (vma.Flags & VmaFlags.Locked) != 0) || soft.Exclusive;
        alone &= !_spaces.Frames[pfn].IsMerged;
        mm.SwapEntries--;
        mm.AnonPages++;
        ulong made = _layout.Make(pfn, vma.PageBits);
        if (alone && (write || _swapInMapsWritable) && (vma.Flags & VmaFlags.Write) != 0)
        {
            made = _layout.MakeWritable(write ? _layout.MakeDirty(made) : made);
        }

        made = _layout.IsSoftProtected(entry) ? _layout.Protect(made) : made;
        _maps.AddAnonRmap(pfn, vma, address, alone);
        if ((vma.Flags & VmaFlags.Locked) != 0)
        {
            _lru.Mlock(cpu, pfn);
        }

        mm.Tables.WriteSlot(slot, made);
        Story?.AddSwapIn(soft.Type, soft.Offset, pfn, (result & FaultResult.Major) != 0);
        if (write && !_layout.IsWritable(made))
        {
            result |= WriteProtectFault(cpu, vma, address, slot, made, flags);
        }

        return result;
    }

    /// <summary>The page in the swap cache was merged, and is another address space's now: this one gets a copy (<c>ksm_might_need_to_copy()</c>).</summary>
    private FaultResult MapCopyOfSwapped(Cpu cpu, Vma vma, ulong address, ulong slot, ulong entry, in SoftEntry soft, int pfn, bool write)
    {
        MemoryDescriptor mm = vma.Mm;
        int copy = AllocateAnon(cpu, vma, address, zero: false);
        if (copy < 0 || mm.Tables.ReadSlot(slot) != entry)
        {
            _pages.Put(cpu, pfn);
            if (copy >= 0)
            {
                _pages.Put(cpu, copy);
            }

            return copy < 0 ? FaultResult.Oom : FaultResult.None;
        }

        _pages.CopyPage(pfn, copy);
        _events.Count(VmEvent.KsmSwpinCopy);
        mm.SwapEntries--;
        mm.AnonPages++;
        ulong made = _layout.Make(copy, vma.PageBits);
        if (write && (vma.Flags & VmaFlags.Write) != 0)
        {
            made = _layout.MakeWritable(_layout.MakeDirty(made));
        }

        made = _layout.IsSoftProtected(entry) ? _layout.Protect(made) : made;
        _maps.AddNewAnonRmap(copy, vma, address);
        _pages.SetFlag(copy, PageFlags.Dirty);
        _pages.AddToLru(cpu, copy, vma);
        mm.Tables.WriteSlot(slot, made);
        _spaces.Swap!.Free(cpu, soft);
        _pages.Put(cpu, pfn);
        Story?.Add($"swap area {soft.Type}, slot {soft.Offset}: page 0x{pfn:x} belongs to another process, copied to 0x{copy:x}");
        return FaultResult.None;
    }
}
