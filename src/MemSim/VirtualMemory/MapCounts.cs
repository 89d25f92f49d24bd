using System.Diagnostics;
using System.Runtime.CompilerServices;
using MemSim.Lru;
using MemSim.Pages;

namespace MemSim.VirtualMemory;

/// <summary>How many entries map each page, and what follows when that changes (<c>page_add_anon_rmap()</c> and its relatives); who they are, <c>ReverseMapping</c> finds.</summary>
/// <remarks>
/// The head of a huge page carries the number of all entries that map any part of it (<c>total_mapcount()</c>). The other frames carry how many lowest-level entries map them, and whether one
/// address space has them alone; the first of them also how many entries of the second level map the whole page (<c>compound_mapcount()</c>) and how many of the lowest map the head's own frame.
/// </remarks>
internal sealed class MapCounts
{
    private readonly AddressSpaces _spaces;
    private readonly MappedPages _pages;
    private readonly FrameArray _frames;
    private readonly NodeCounters[] _countersByZone;
    private readonly LruManager _lru;

    public MapCounts(AddressSpaces spaces)
    {
        _spaces = spaces;
        _pages = spaces.Pages;
        _frames = spaces.Frames;
        _lru = spaces.Machine.Lru;
        _countersByZone = [.. spaces.Machine.Zones.Select(z => z.Node.Counters)];
    }

    /// <summary>Entries that map a page, alone or as part of a huge page (<c>page_mapcount()</c>).</summary>
    public int MapCount(int pfn) => _pages.IsPartOfHuge(pfn) ? SmallMaps(pfn) + WholeMaps(_pages.HeadOf(pfn)) : _frames[pfn].MapCount;

    /// <summary>Lowest-level entries that map a page of a huge page.</summary>
    public int SmallMaps(int pfn) => _frames[pfn].IsInUse ? (int)_frames[pfn + 1].Index : _frames[pfn].MapCount;

    /// <summary>Entries of the second level that map a huge page.</summary>
    public int WholeMaps(int head) => _frames[head + 1].Private;

    /// <summary>Entries that map any part of a page (<c>total_mapcount()</c>).</summary>
    public int TotalMapCount(int head) => _frames[head].MapCount;

    /// <summary>A fresh anonymous page is mapped for the first time (<c>page_add_new_anon_rmap()</c>).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void AddNewAnonRmap(int pfn, Vma vma, ulong address)
    {
        ref PageFrame frame = ref _frames[pfn];
        Debug.Assert(frame.InvertedMapCount == 0 && frame.RefCount > 0 && frame.Mapping == 0 && frame.Order == 0, "a small page that was just allocated: nothing maps or owns it");
        frame.Set(PageFlags.SwapBacked | PageFlags.UpToDate | PageFrame.AnonExclusive);
        frame.Mapping = vma.AnonVma!.MappingValue;
        frame.Index = vma.IndexOf(address);
        frame.InvertedMapCount = -1;
        _countersByZone[frame.ZoneId].AnonPages++;
    }

    /// <summary>An anonymous page is mapped (again) (<c>page_add_anon_rmap()</c>): after swap-in or migration.</summary>
    public void AddAnonRmap(int pfn, Vma vma, ulong address, bool exclusive)
    {
        ref PageFrame frame = ref _frames[pfn];
        Debug.Assert(frame.InvertedMapCount <= 0 && frame.RefCount > 0 && frame.Order == 0 && !(exclusive && frame.InvertedMapCount < 0), "a small page; one address space has it alone only if nothing else maps it");
        if (frame.InvertedMapCount-- == 0)
        {
            _countersByZone[frame.ZoneId].AnonPages++;
        }

        if (!frame.IsAnonymous)
        {
            AnonVma anon = exclusive ? vma.AnonVma! : vma.AnonVma!.Root;
            frame.Mapping = anon.MappingValue;
            frame.Index = vma.IndexOf(address);
        }

        if (exclusive)
        {
            _lru.SetFlags(ref frame, PageFrame.AnonExclusive);
        }

        Debug.Assert(frame.IsAnonymous && frame.MapCount > 0, "it is mapped and has an owner");
    }

    /// <summary>A mapped page is mapped once more, or a page of a file for the first time.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void AddFileRmap(int pfn) => AddFileRmap(ref _frames[pfn]);

    /// <summary>The same, of a page whose frame is known.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void AddFileRmap(ref PageFrame frame)
    {
        Debug.Assert(frame.InvertedMapCount <= 0 && frame.RefCount > 0 && !frame.IsAnonymous, "a page of a file that somebody holds");
        if (frame.InvertedMapCount-- == 0)
        {
            _countersByZone[frame.ZoneId].Mapped++;
        }
    }

    /// <summary>Fork maps an anonymous page in the child too: nobody has it alone from now on (<c>page_try_dup_anon_rmap()</c>).</summary>
    public void DuplicateAnonRmap(int pfn)
    {
        if (_pages.IsPartOfHuge(pfn))
        {
            DuplicatePart(pfn);
            return;
        }

        ref PageFrame frame = ref _frames[pfn];
        Debug.Assert(frame.InvertedMapCount < 0 && frame.IsAnonymous, "the parent maps it");
        _ = _lru.ClearFlags(ref frame, PageFrame.AnonExclusive);
        frame.InvertedMapCount--;
    }

    /// <summary>An entry that mapped a page is gone (<c>page_remove_rmap()</c>); the reference is still to be dropped.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void RemoveRmap(Cpu cpu, int pfn, Vma vma)
    {
        if (_pages.IsPartOfHuge(pfn))
        {
            RemovePartRmap(pfn);
            return;
        }

        RemoveSmallRmap(cpu, pfn, ref _frames[pfn], vma);
    }

    /// <summary>As <see cref="RemoveRmap"/>, of a page that is no part of a huge one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void RemoveSmallRmap(Cpu cpu, int pfn, ref PageFrame frame, Vma vma)
    {
        Debug.Assert(frame.InvertedMapCount < 0 && frame.Order == 0, "an entry maps it, and it is a page of its own");
        if (++frame.InvertedMapCount == 0)
        {
            NodeCounters counters = _countersByZone[frame.ZoneId];
            if (frame.IsAnonymous)
            {
                counters.AnonPages--;
            }
            else
            {
                counters.Mapped--;
            }
        }

        if ((vma.Flags & VmaFlags.Locked) != 0)
        {
            _lru.Munlock(cpu, pfn);
        }
    }

    /// <summary>As <see cref="RemoveSmallRmap"/>, of an anonymous page in an area that is not locked.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void RemoveAnon(ref PageFrame frame)
    {
        Debug.Assert(frame.InvertedMapCount < 0 && frame.Order == 0 && frame.IsAnonymous, "an entry maps it, and it is an anonymous page of its own");
        if (++frame.InvertedMapCount == 0)
        {
            _countersByZone[frame.ZoneId].AnonPages--;
        }
    }

    /// <summary>A fresh huge page is mapped for the first time (<c>page_add_new_anon_rmap()</c>).</summary>
    public void AddNewHugeRmap(int head, Vma vma, ulong address)
    {
        ref PageFrame frame = ref _frames[head];
        Debug.Assert(frame.InvertedMapCount == 0 && frame.Mapping == 0 && frame.Order == _spaces.HugeOrder && WholeMaps(head) == 0, "a huge page that was just allocated: nothing maps or owns it");
        _lru.SetFlags(ref frame, PageFlags.SwapBacked | PageFlags.UpToDate | PageFrame.AnonExclusive);
        frame.Mapping = vma.AnonVma!.MappingValue;
        frame.Index = vma.IndexOf(address);
        frame.InvertedMapCount = -1;
        _frames[head + 1].Private = 1;
        NodeCounters counters = _pages.CountersOf(head);
        counters.AnonPages += _pages.HugePages;
        counters.AnonHugePages += _pages.HugePages;
    }

    /// <summary>A fresh large page is mapped for the first time, by as many entries of the lowest level as it has frames (<c>folio_add_new_anon_rmap()</c>).</summary>
    public void AddNewSizedRmap(int head, Vma vma, ulong address)
    {
        ref PageFrame frame = ref _frames[head];
        int pages = 1 << frame.Order;
        Debug.Assert(frame.InvertedMapCount == 0 && frame.Mapping == 0 && frame.Order != 0, "a large page that was just allocated: nothing maps or owns it");
        _lru.SetFlags(ref frame, PageFlags.SwapBacked | PageFlags.UpToDate | PageFrame.AnonExclusive);
        frame.Mapping = vma.AnonVma!.MappingValue;
        frame.Index = vma.IndexOf(address);
        frame.InvertedMapCount = -pages;
        _frames[head + 1].Index = 1;
        for (int i = 1; i < pages; i++)
        {
            _frames[head + i].InvertedMapCount = -1;
            _lru.SetFlags(ref _frames[head + i], PageFrame.AnonExclusive);
        }

        _pages.CountersOf(head).AnonPages += pages;
    }

    /// <summary>Fork maps a huge page in the child too.</summary>
    public void DuplicateHugeRmap(int head)
    {
        Debug.Assert(WholeMaps(head) > 0, "the parent maps it");
        _ = _lru.ClearFlags(ref _frames[head], PageFrame.AnonExclusive);
        _frames[head].InvertedMapCount--;
        _frames[head + 1].Private++;
    }

    /// <summary>An entry that mapped a huge page as a whole is gone.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="head">The page.</param>
    /// <param name="vma">The area.</param>
    /// <param name="splits">Whether small entries map its parts instead: they are counted by the caller first.</param>
    public void RemoveHugeRmap(Cpu cpu, int head, Vma vma, bool splits)
    {
        Debug.Assert(WholeMaps(head) > 0 && TotalMapCount(head) >= WholeMaps(head), "an entry maps it as a whole");
        _frames[head].InvertedMapCount++;
        if (--_frames[head + 1].Private == 0)
        {
            NodeCounters counters = _pages.CountersOf(head);
            counters.AnonHugePages -= _pages.HugePages;
            if (!splits)
            {
                int unmapped = UnmappedParts(head);
                counters.AnonPages -= unmapped;
                if (unmapped != 0 && unmapped != _pages.HugePages)
                {
                    _spaces.Huge.DeferSplit(head);
                }
            }
        }

        if ((vma.Flags & VmaFlags.Locked) != 0)
        {
            _lru.Munlock(cpu, head);
        }
    }

    /// <summary>A huge page's small entry is counted while it is split.</summary>
    public void AddPart(int pfn, int head, bool exclusive)
    {
        _ = ChangeSmallMaps(pfn, head, 1);
        if (exclusive)
        {
            _lru.SetFlags(ref _frames[pfn], PageFrame.AnonExclusive);
        }
    }

    /// <summary>Fork maps part of a huge page in the child too.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void DuplicatePart(int pfn)
    {
        _ = _lru.ClearFlags(ref _frames[pfn], PageFrame.AnonExclusive);
        _ = ChangeSmallMaps(pfn, _pages.HeadOf(pfn), 1);
    }

    /// <summary>A small entry that mapped part of a huge page is gone (<c>page_remove_rmap()</c>): unless the rest goes as well, the page is worth splitting.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void RemovePartRmap(int pfn)
    {
        int head = _pages.HeadOf(pfn);
        if (ChangeSmallMaps(pfn, head, -1) == 0 && WholeMaps(head) == 0)
        {
            _pages.CountersOf(head).AnonPages--;
            _spaces.Huge.DeferSplit(head);
        }
    }

    /// <summary>A small entry that maps part of a huge page is one more or one less.</summary>
    private int ChangeSmallMaps(int pfn, int head, int change)
    {
        _frames[head].InvertedMapCount -= change;
        Debug.Assert(TotalMapCount(head) >= WholeMaps(head), "the number of all entries is that of whole ones and parts");
        if (pfn == head)
        {
            ref uint count = ref _frames[head + 1].Index;
            count = (uint)((int)count + change);
            Debug.Assert((int)count >= 0, "no more entries go than came");
            return (int)count;
        }

        ref int inverted = ref _frames[pfn].InvertedMapCount;
        inverted -= change;
        Debug.Assert(inverted <= 0, "no more entries go than came");
        return -inverted;
    }

    private int UnmappedParts(int head)
    {
        int count = SmallMaps(head) == 0 ? 1 : 0;
        for (int i = 1; i < _pages.HugePages; i++)
        {
            count += _frames[head + i].InvertedMapCount == 0 ? 1 : 0;
        }

        return count;
    }
}
