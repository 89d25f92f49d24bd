using System.Globalization;
using System.Runtime.CompilerServices;
using MemSim.Hardware;
using MemSim.PageCache;
using MemSim.Pages;

namespace MemSim.VirtualMemory;

/// <summary>What entries of page tables say, checked: page tables lie in simulated memory, and anybody can write to that.</summary>
internal sealed class PageEntries
{
    private readonly AddressSpaces _spaces;
    private readonly Machine _machine;
    private readonly MappedPages _pages;
    private readonly FrameArray _frames;
    private readonly PteLayout _layout;
    private readonly Mmu _mmu;
    private readonly uint _frameCount;
    private readonly int _zeroPfn;

    public PageEntries(AddressSpaces spaces)
    {
        _spaces = spaces;
        _machine = spaces.Machine;
        _pages = spaces.Pages;
        _frames = spaces.Frames;
        _layout = spaces.Layout;
        _mmu = spaces.Mmu;
        _frameCount = (uint)spaces.Machine.Frames.Count;
        _zeroPfn = spaces.ZeroPfn;
    }

    /// <summary>The page that an entry maps, when it is one that the area can have there (<c>vm_normal_page()</c>).</summary>
    /// <returns>-1 for the zero page and for frames mapped as such, which have no owner, and for an entry that was overwritten; the latter is reported, and what it names is left alone.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int NormalPage(Vma vma, ulong address, ulong entry)
    {
        int pfn = _layout.Pfn(entry);
        return IsPlainPageAt(vma, address, pfn) ? pfn : OtherPage(vma, address, entry, pfn);
    }

    /// <summary>Whether an entry maps an anonymous page that its address space has alone.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsExclusiveAt(Vma vma, ulong address, ulong entry)
    {
        int pfn = _layout.Pfn(entry);
        if (!IsPlainPageAt(vma, address, pfn))
        {
            pfn = OtherPage(vma, address, entry, pfn);
            return pfn >= 0 && _pages.IsAnon(pfn) && _pages.IsExclusive(pfn);
        }

        ref PageFrame frame = ref _frames[pfn];
        return frame.IsAnonymous && frame.IsAnonExclusive;
    }

    /// <summary>As <see cref="NormalPage"/>, of one who only looks: nothing is reported.</summary>
    public int PeekPage(Vma vma, ulong address, ulong entry)
    {
        int pfn = _layout.Pfn(entry);
        return IsPlainPageAt(vma, address, pfn) || (pfn != _zeroPfn && !IsFrameOf(vma, address, pfn) && IsMappedAt(vma, address, pfn)) ? pfn : -1;
    }

    /// <summary>An entry that is not present, decoded and compared with what there is.</summary>
    public SoftEntry Decode(ulong entry)
    {
        if (!_layout.TryDecodeSwapEntry(entry, out SoftEntry soft))
        {
            return default;
        }

        bool exists = soft.Kind switch
        {
            SoftEntryKind.Swap => _spaces.Swap?.Knows(soft) ?? false,
            SoftEntryKind.MigrationRead or SoftEntryKind.MigrationWrite => _frames.Named((int)soft.Offset).RefCount != 0 && _pages.HasFlag((int)soft.Offset, PageFlags.Locked),
            _ => true,
        };
        return exists ? soft : soft with { Kind = SoftEntryKind.Bad };
    }

    /// <summary>Whether a frame is a page of its own, mapped, of the owner that the area's last one had, and the one that this address has: what nearly all are.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsPlainPageAt(Vma vma, ulong address, int pfn)
    {
        if ((uint)pfn >= _frameCount)
        {
            return false;
        }

        return _frames.Named(pfn).IsMappedPageOf(vma.KnownMapping, vma.IndexOf(address));
    }

    /// <summary>Whether a frame is mapped at all, belongs to what the area's pages belong to, and is the page that this address has.</summary>
    public bool IsMappedAt(Vma vma, ulong address, int pfn)
    {
        if ((uint)pfn >= _frameCount)
        {
            return false;
        }

        int head = _pages.HeadOf(pfn);
        ref PageFrame frame = ref _frames.Named(head);
        if (frame.IsMerged)
        {
            // It may be anywhere.
            return frame.RefCount != 0 && frame.IsMapped && pfn == head && vma.AnonVma is not null;
        }

        return frame.RefCount != 0 && frame.IsMapped && pfn - head < 1 << frame.Order && (pfn == head || frame.IsAnonymous)
            && frame.Index + (uint)(pfn - head) == vma.IndexOf(address) && MayBeIn(vma, frame.Mapping);
    }

    /// <summary>Whether an entry names the frame that its area was made for, and not a page: all of a shared area do, and those of a private one that nobody has written to.</summary>
    public static bool IsFrameOf(Vma vma, ulong address, int pfn) => vma.MapsFrames && (uint)pfn == vma.IndexOf(address);

    /// <summary>What <see cref="IsMappedAt"/> found wrong, in words.</summary>
    public string WhyNotMappedAt(Vma vma, ulong address, int pfn)
    {
        if ((uint)pfn >= _frameCount)
        {
            return "the machine does not have";
        }

        ref PageFrame frame = ref _frames.Named(_pages.HeadOf(pfn));
        return frame.RefCount == 0 || !frame.IsMapped ? "nothing maps"
            : !MayBeIn(vma, frame.Mapping) ? "belongs to something else than this area" : "belongs at another address";
    }

    /// <summary>An entry that is not present is cleared: the swap slot or the page being moved is one user poorer.</summary>
    public void DropSoftEntry(Cpu cpu, Vma vma, ulong address, ulong entry)
    {
        MemoryDescriptor mm = vma.Mm;
        SoftEntry soft = Decode(entry);
        switch (soft.Kind)
        {
            case SoftEntryKind.Swap:
                mm.SwapEntries--;
                _spaces.Swap?.Free(cpu, soft);
                break;
            case SoftEntryKind.MigrationRead or SoftEntryKind.MigrationWrite:
                mm.CountResident((int)soft.Offset, -1);
                break;
            case SoftEntryKind.Bad:
                ReportBadPageMap(vma, address, entry);
                break;
        }
    }

    /// <summary>Whether an entry maps, or stands for, a page of a file.</summary>
    public bool IsOfFile(Vma vma, ulong address, ulong entry)
    {
        if (_layout.IsPresent(entry))
        {
            int pfn = PeekPage(vma, address, entry);
            return pfn >= 0 && !_pages.IsAnon(pfn);
        }

        return Decode(entry) is var soft && soft.Kind is SoftEntryKind.MigrationRead or SoftEntryKind.MigrationWrite && !_pages.IsAnon((int)soft.Offset);
    }

    /// <summary>Makes an entry clean and write-protected, so that the next write is noticed (<c>page_mkclean_one()</c>).</summary>
    /// <returns>Whether it was dirty or writable.</returns>
    public bool CleanEntry(Cpu cpu, Vma vma, ulong address, int pfn)
    {
        PageTables tables = vma.Mm.Tables;
        ulong slot = tables.FindSlot(address);
        ulong entry = slot == 0 ? 0 : tables.ReadSlot(slot);
        if (entry == 0 || !_layout.IsPresent(entry) || _layout.Pfn(entry) != pfn || !(_layout.IsDirty(entry) || _layout.IsWritable(entry)))
        {
            return false;
        }

        while (!tables.TryChangeSlot(slot, ref entry, _layout.MakeClean(_layout.WriteProtect(entry))))
        {
        }

        _mmu.FlushPage(cpu, tables, new VirtualAddress(address));
        return true;
    }

    /// <summary>Reports an entry that was overwritten (<c>print_bad_pte()</c>).</summary>
    public void ReportBadPageMap(Vma vma, ulong address, ulong entry)
    {
        PageTables tables = vma.Mm.Tables;
        ulong pmd = tables.FindPmd(address) is var slot and not 0 ? tables.ReadSlot(slot) : 0;
        _machine.Bugs.ReportDamage(
            string.Create(CultureInfo.InvariantCulture, $"Bad page map in process {vma.Mm.Owner?.Name ?? "swapper"}  pte:{entry:x8} pmd:{pmd:x8}"),
            string.Create(CultureInfo.InvariantCulture, $"addr:{address:x16} vm_flags:{(uint)vma.Flags:x8} anon_vma:{vma.AnonVma?.Memory.Value ?? 0:x16} mapping:{(vma.File is null ? 0 : 1)} index:{vma.IndexOf(address):x}\nThe entry's page was not mapped there: it is left alone.\n"));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private int OtherPage(Vma vma, ulong address, ulong entry, int pfn)
    {
        if (pfn == _zeroPfn || IsFrameOf(vma, address, pfn))
        {
            return -1;
        }

        if (IsMappedAt(vma, address, pfn))
        {
            ref PageFrame frame = ref _frames[_pages.HeadOf(pfn)];
            vma.KnownMapping = frame.IsMerged ? vma.KnownMapping : frame.Mapping;
            return pfn;
        }

        ReportBadPageMap(vma, address, entry);
        return -1;
    }

    private bool MayBeIn(Vma vma, uint mapping)
    {
        if (!MappingTable.IsAnonymous(mapping))
        {
            return vma.Mapping is { } file && _machine.Frames.Mappings.TryFind(mapping, out FileMapping? owner) && ReferenceEquals(owner, file);
        }

        foreach (AnonVmaChain link in vma.Chain ?? [])
        {
            if (link.Anon.Id == MappingTable.IdOf(mapping))
            {
                return true;
            }
        }

        return false;
    }
}
