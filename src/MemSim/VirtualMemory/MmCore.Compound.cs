using System.Runtime.CompilerServices;
using MemSim.HugePages;
using MemSim.Hugetlb;
using MemSim.Lru;
using MemSim.Pages;

namespace MemSim.VirtualMemory;

/// <content>Huge pages: which frame of a compound page carries what.</content>
/// <remarks>
/// The head carries references, flags, owner and the number of all entries that map any part of the page (<c>total_mapcount()</c>). The other frames carry how many
/// lowest-level entries map them, and whether one address space has them alone; the first of them also how many entries of the second level map the whole
/// page (<c>compound_mapcount()</c>) and how many of the lowest map the head's own frame.
/// </remarks>
internal sealed partial class MmCore
{
    /// <summary>Finds the first frame of a huge page.</summary>
    private readonly int _hugeMask;

    /// <summary>log2 of the small pages that an entry of the second level maps: 10 on x86-32 without PAE, else 9.</summary>
    public int HugeOrder { get; }

    /// <summary>Small pages that an entry of the second level maps.</summary>
    public int HugePages => 1 << HugeOrder;

    /// <summary>Transparent huge pages.</summary>
    public TransparentHugeMemory Huge { get; private set; }

    /// <summary>Mappings of the pool of huge pages.</summary>
    public HugetlbMemory Hugetlb => field ??= new HugetlbMemory(this);

    /// <summary>Whether faults have to think of huge pages.</summary>
    public bool UsesHugePages { get; set; }

    /// <summary>The frame that carries the state of a mapped page: its own, or the head of its huge page.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int HeadOf(int pfn) => _frames[pfn].RefOrder != 0 ? pfn : pfn & _hugeMask;

    /// <summary>Whether a mapped page is part of a huge page.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsPartOfHuge(int pfn)
    {
        uint word = _frames[pfn].RefOrder;
        return word == 0 || (word & (PageFrame.OneReference - 1)) != 0;
    }

    /// <summary>Lowest-level entries that map a page of a huge page.</summary>
    public int SmallMaps(int pfn) => _frames[pfn].RefOrder != 0 ? (int)_frames[pfn + 1].Index : _frames[pfn].MapCount;

    /// <summary>Entries of the second level that map a huge page.</summary>
    public int WholeMaps(int head) => _frames[head + 1].Private;

    /// <summary>Entries that map any part of a page (<c>total_mapcount()</c>).</summary>
    public int TotalMapCount(int head) => _frames[head].MapCount;

    internal NodeCounters CountersOfFrame(int pfn) => _countersByZone[_frames[pfn].ZoneId];

    /// <summary>Makes room for the state of the parts of a fresh huge page (<c>prep_transhuge_page()</c>).</summary>
    public void PrepareHuge(int head)
    {
        int zone = _frames[head].ZoneId;
        for (int i = 1; i < HugePages; i++)
        {
            _frames[head + i].Begin(zone);
        }

        _frames[head + 1].Private = 0;
        _frames[head + 1].Index = 0;
    }

    /// <summary>The last reference to a huge page is gone: nothing may be left of its parts' state (<c>free_transhuge_page()</c>).</summary>
    public void HugePageFreed(int head)
    {
        if (!_frames[head].IsAnonymous)
        {
            return;
        }

        // Whoever drops the last reference: a fault, or reclaim on another CPU.
        using OwnersLock.Scope owners = Machine.EnterOwners();
        Huge.Forget(head);
        PrepareHuge(head);
    }

    /// <summary>A small entry that maps part of a huge page is one more or one less.</summary>
    private int ChangeSmallMaps(int pfn, int head, int change)
    {
        _frames[head].InvertedMapCount -= change;
        if (pfn == head)
        {
            ref uint count = ref _frames[head + 1].Index;
            count = (uint)((int)count + change);
            return (int)count;
        }

        ref int inverted = ref _frames[pfn].InvertedMapCount;
        inverted -= change;
        return -inverted;
    }

    /// <summary>Fork maps part of a huge page in the child too.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void DuplicatePart(int pfn)
    {
        _ = _lru.ClearFlags(ref _frames[pfn], PageFrame.AnonExclusive);
        _ = ChangeSmallMaps(pfn, HeadOf(pfn), 1);
    }

    /// <summary>A small entry that mapped part of a huge page is gone (<c>page_remove_rmap()</c>): unless the rest goes as well, the page is worth splitting.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void RemovePartRmap(int pfn)
    {
        int head = HeadOf(pfn);
        if (ChangeSmallMaps(pfn, head, -1) == 0 && WholeMaps(head) == 0)
        {
            CountersOfFrame(head).AnonPages--;
            Huge.DeferSplit(head);
        }
    }

    /// <summary>A fresh huge page is mapped for the first time (<c>page_add_new_anon_rmap()</c>).</summary>
    public void AddNewHugeRmap(int head, Vma vma, ulong address)
    {
        ref PageFrame frame = ref _frames[head];
        _lru.SetFlags(ref frame, PageFlags.SwapBacked | PageFlags.UpToDate | PageFrame.AnonExclusive);
        frame.Mapping = MappingTable.Value(vma.AnonVma!.Id, MappingTable.Anonymous);
        frame.Index = vma.IndexOf(address);
        frame.InvertedMapCount = -1;
        _frames[head + 1].Private = 1;
        NodeCounters counters = CountersOfFrame(head);
        counters.AnonPages += HugePages;
        counters.AnonHugePages += HugePages;
    }

    /// <summary>Fork maps a huge page in the child too.</summary>
    public void DuplicateHugeRmap(int head)
    {
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
        _frames[head].InvertedMapCount++;
        if (--_frames[head + 1].Private == 0)
        {
            NodeCounters counters = CountersOfFrame(head);
            counters.AnonHugePages -= HugePages;
            if (!splits)
            {
                int unmapped = UnmappedParts(head);
                counters.AnonPages -= unmapped;
                if (unmapped != 0 && unmapped != HugePages)
                {
                    Huge.DeferSplit(head);
                }
            }
        }

        if ((vma.Flags & VmaFlags.Locked) != 0)
        {
            Munlock(cpu, head);
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

    private int UnmappedParts(int head)
    {
        int count = SmallMaps(head) == 0 ? 1 : 0;
        for (int i = 1; i < HugePages; i++)
        {
            count += _frames[head + i].InvertedMapCount == 0 ? 1 : 0;
        }

        return count;
    }
}
