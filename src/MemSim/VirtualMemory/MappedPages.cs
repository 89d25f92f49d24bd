using System.Runtime.CompilerServices;
using MemSim.Hardware;
using MemSim.Lru;
using MemSim.Pages;

namespace MemSim.VirtualMemory;

/// <summary>Pages as those see them who map them: by the number of any frame, alone or part of a huge page.</summary>
/// <remarks>The head of a huge page carries references, flags and owner; the other frames only what <see cref="MapCounts"/> says.</remarks>
internal sealed class MappedPages
{
    private readonly Machine _machine;
    private readonly FrameArray _frames;
    private readonly PhysicalMemory _memory;
    private readonly NodeCounters[] _countersByZone;
    private readonly LruManager _lru;

    /// <summary>Finds the first frame of a huge page.</summary>
    private readonly int _hugeMask;
    private readonly int _hugeOrder;

    public MappedPages(Machine machine, int hugeOrder)
    {
        _machine = machine;
        _frames = machine.Frames.Array;
        _memory = machine.Ram;
        _lru = machine.Lru;
        _countersByZone = [.. machine.Zones.Select(z => z.Node.Counters)];
        HugePages = 1 << hugeOrder;
        _hugeMask = ~(HugePages - 1);
        _hugeOrder = hugeOrder;
    }

    /// <summary>Small pages that an entry of the second level maps.</summary>
    public int HugePages { get; }

    /// <summary>The frame that carries the state of a mapped page: its own, or the head of its huge page.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int HeadOf(int pfn) => _frames.Named(pfn).IsInUse ? pfn : HeadOfPart(pfn);

    /// <summary>The head of what a frame without references is part of; of smaller large pages it is the first one before it, at a place for one, that has any.</summary>
    private int HeadOfPart(int pfn)
    {
        int whole = pfn & _hugeMask;
        if (_frames.Named(whole).Order == _hugeOrder)
        {
            return whole;
        }

        for (int order = 1; order < _hugeOrder; order++)
        {
            int head = pfn & ~((1 << order) - 1);
            if (_frames.Named(head).IsInUse)
            {
                return head;
            }
        }

        return whole;
    }

    /// <summary>Whether a mapped page is part of a huge page.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsPartOfHuge(int pfn) => !_frames[pfn].IsSinglePage;

    public bool IsAnon(int pfn) => _frames[HeadOf(pfn)].IsAnonymous;

    public bool IsExclusive(int pfn) => _frames[pfn].IsAnonExclusive;

    public bool IsSwapCache(int pfn) => _frames[HeadOf(pfn)].InSwapCache;

    public bool HasFlag(int pfn, PageFlags flag) => _frames[HeadOf(pfn)].Has(flag);

    /// <summary>Whether it says of itself that it was used lately, whatever page tables say.</summary>
    public bool WasNotedUsed(int pfn)
    {
        int head = HeadOf(pfn);
        return _frames[head].IsReferenced || (_lru.Idle?.IsYoung(head) ?? false);
    }

    public void SetFlag(int pfn, PageFlags flag) => _lru.SetFlags(ref _frames[flag == PageFrame.AnonExclusive ? pfn : HeadOf(pfn)], flag);

    public void ClearFlag(int pfn, PageFlags flag) => _ = _lru.ClearFlags(ref _frames[flag == PageFrame.AnonExclusive ? pfn : HeadOf(pfn)], flag);

    public int RefCount(int pfn) => _frames[HeadOf(pfn)].RefCount;

    /// <summary>The frame takes one more reference (<c>get_page()</c>).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Get(int pfn) => _machine.Frames.AddReferences(HeadOf(pfn), 1);

    /// <summary>Drops a reference; the last one frees the page (<c>put_page()</c>).</summary>
    public void Put(Cpu cpu, int pfn) => _lru.Put(cpu, HeadOf(pfn));

    /// <summary>Puts a new page on its LRU list (<c>lru_cache_add_inactive_or_unevictable()</c>).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void AddToLru(Cpu cpu, int pfn, Vma vma)
    {
        _lru.Add(cpu, pfn);
        if ((vma.Flags & VmaFlags.Locked) != 0)
        {
            _lru.Mlock(cpu, pfn);
        }
    }

    /// <summary>An access was noticed in an entry that goes (<c>mark_page_accessed()</c>).</summary>
    public void MarkAccessed(Cpu cpu, int pfn) => _lru.MarkAccessed(cpu, HeadOf(pfn));

    /// <summary>Copies a page's bytes.</summary>
    public void CopyPage(int from, int to) => _memory.CopyFrame(from, to);

    /// <summary>Makes room for the state of the parts of a fresh huge page (<c>prep_transhuge_page()</c>).</summary>
    public void PrepareHuge(int head)
    {
        int zone = _frames[head].ZoneId;
        for (int i = 1; i < 1 << _frames[head].Order; i++)
        {
            _frames[head + i].Begin(zone);
        }

        _frames[head + 1].Private = 0;
        _frames[head + 1].Index = 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public NodeCounters CountersOf(int pfn) => _countersByZone[_frames[pfn].ZoneId];
}
