using System.Diagnostics;
using System.Runtime.CompilerServices;
using MemSim.Hardware;
using MemSim.Pages;

namespace MemSim.Lru;

/// <summary>The LRU lists of one node and one memory cgroup with what reclaim remembers about them (<c>struct lruvec</c>).</summary>
/// <remarks>
/// The front of a list is the end at which pages enter; reclaim takes from the back. The root's are the only ones of a node as long as no cgroup was made, and the
/// node's counters are theirs; from the first cgroup on each keeps its own sizes as well.
/// </remarks>
internal sealed partial class LruVec
{
    /// <summary>List heads that lists need.</summary>
    public const int ListHeads = 5;

    /// <summary>The most zones that a node has, of any architecture.</summary>
    public const int MaxZones = 6;

    /// <summary>List heads of a vector, those of its generations included.</summary>
    public const int AllHeads = ListHeads + (LruGenerations.MaxGenerations * LruGenerations.Kinds * MaxZones);

    private readonly FrameArray _frames;
    private readonly NodeCounters _counters;
    private readonly bool _parallel;
    private readonly int _firstHead;
    // Guards the lists, their sizes and their generations, PG_lru and PG_active of their pages, _age and the costs (lru_lock).
    private PaddedLock _lock;
    private long _age;
    private CgroupPlace _rotation;

    public LruVec(Node node, int index, FrameArray frames, int firstHead, bool parallel)
    {
        Node = node;
        Index = index;
        _frames = frames;
        _counters = node.Counters;
        _firstHead = firstHead;
        _parallel = parallel;
    }

    public Node Node { get; }

    /// <summary>The same pages by generation, on kernels that know how; null on others.</summary>
    public LruGenerations? Generations { get; set; }

    /// <summary>Whether pages are kept by generation now (<c>lrugen.enabled</c>): the lists of active and inactive pages are empty then.</summary>
    public bool ByGeneration { get; set; }

    /// <summary>The node's place among those of the machine.</summary>
    public int Index { get; }

    /// <summary>Pages that left the inactive lists, reclaimed or activated (<c>nonresident_age</c>): the clock of workingset detection.</summary>
    public long NonresidentAge => Volatile.Read(ref _age);

    /// <summary>What reclaim of anonymous pages cost lately: rotations, writes and refaults (<c>anon_cost</c>).</summary>
    public long AnonCost { get; set; }

    /// <summary>What reclaim of file pages cost lately (<c>file_cost</c>).</summary>
    public long FileCost { get; set; }

    /// <summary>By generations: when it is their turn.</summary>
    public ref CgroupPlace Rotation => ref _rotation;

    /// <summary>Whether nobody holds the lock.</summary>
    public bool IsUnlocked => !_lock.IsHeld;

    public int Head(LruList list) => _firstHead + (int)list;

    /// <summary>Lets somebody else than the host decide who gets the lock.</summary>
    public void Watch(IInterleaver? interleaver) => _lock.Watch(interleaver?.Watch("LruVec._lock"));

    /// <summary>Takes <c>lru_lock</c>, on a machine with parallel CPUs.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Enter()
    {
        if (_parallel)
        {
            _lock.Enter();
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Exit()
    {
        if (_parallel)
        {
            _lock.Exit();
        }
    }

    /// <summary>Which list a page belongs on, from its flags (<c>folio_lru_list()</c>).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static LruList ListOf(PageFlags flags)
    {
        if ((flags & PageFlags.Unevictable) != 0)
        {
            return LruList.Unevictable;
        }

        int file = (flags & PageFlags.SwapBacked) != 0 ? 0 : 2;
        return (LruList)(file + ((flags & PageFlags.Active) != 0 ? 1 : 0));
    }

    /// <summary>Pages of a zone on a list, whoever pays for them.</summary>
    public static long Size(Zone zone, LruList list) => list switch
    {
        LruList.InactiveAnon => zone.Counters.InactiveAnon,
        LruList.ActiveAnon => zone.Counters.ActiveAnon,
        LruList.InactiveFile => zone.Counters.InactiveFile,
        LruList.ActiveFile => zone.Counters.ActiveFile,
        _ => zone.Counters.Unevictable,
    };

    /// <summary>Links a page at the front of the list its flags name, or at the back. The caller holds the lock.</summary>
    public void Add(ref PageFrame frame, int pfn, Zone zone, bool back = false)
    {
        Debug.Assert(frame.ZoneId == zone.Id && frame.RefCount > 0, "a page of the zone that somebody holds");
        LruList list = ListOf(frame.StoredFlags);
        Debug.Assert(!_parallel || _lock.IsHeld, "the caller holds the lock");
        if (ByGeneration && list != LruList.Unevictable)
        {
            Generations!.Add(ref frame, pfn, zone, oldest: back);
            return;
        }

        Count(zone, list, 1L << frame.Order);
        if (list == LruList.Unevictable)
        {
            return;
        }

        if (back)
        {
            _frames.AddLast(Head(list), pfn);
        }
        else
        {
            _frames.AddFirst(Head(list), ref frame, pfn);
        }
    }

    /// <summary>Unlinks a page from the list its flags name. The caller holds the lock.</summary>
    /// <exception cref="KernelBugException">Whatever the policy: the page is on no list, somebody else set its flags.</exception>
    public void Remove(ref PageFrame frame, int pfn, Zone zone)
    {
        Debug.Assert(frame.ZoneId == zone.Id && (!_parallel || _lock.IsHeld), "a page of the zone; the caller holds the lock");
        LruList list = ListOf(frame.StoredFlags);
        if (list != LruList.Unevictable)
        {
            if (ByGeneration)
            {
                if (!_frames.IsLinked(pfn))
                {
                    throw NotLinked(pfn);
                }

                Generations!.Remove(ref frame, pfn, zone);
                return;
            }

            if (!_frames.TryRemove(ref frame, pfn))
            {
                throw NotLinked(pfn);
            }
        }

        Count(zone, list, -(1L << frame.Order));
        Debug.Assert(Size(zone, list) >= 0, "no more leave a list than are on it");
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static KernelBugException NotLinked(int pfn) =>
        new(KernelBugKind.Overwritten, $"list_del corruption: page pfn:0x{pfn:x} has PG_lru, but its neighbours do not know it", "Only the kernel sets PG_lru, and only on pages that it puts on a list.\n");

    /// <summary>Notes that reclaim of a kind of page cost something, here and in all cgroups above (<c>lru_note_cost()</c>). Old costs fade once they exceed a quarter of the lists.</summary>
    public void NoteCost(bool file, long pages)
    {
        for (LruVec? vec = this; vec is not null; vec = vec.Parent)
        {
            vec.NoteOwnCost(file, pages);
        }
    }

    /// <summary>Advances the clock of workingset detection, here and in all cgroups above (<c>workingset_age_nonresident()</c>).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Age(long pages)
    {
        if (Parent is null && !_parallel)
        {
            _age += pages;
        }
        else
        {
            AgeAll(pages);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void AgeAll(long pages)
    {
        for (LruVec? vec = this; vec is not null; vec = vec.Parent)
        {
            if (_parallel)
            {
                Interlocked.Add(ref vec._age, pages);
            }
            else
            {
                vec._age += pages;
            }
        }
    }

    private void NoteOwnCost(bool file, long pages)
    {
        Enter();
        if (file)
        {
            FileCost += pages;
        }
        else
        {
            AnonCost += pages;
        }

        long size = Size(LruList.InactiveAnon) + Size(LruList.ActiveAnon) + Size(LruList.InactiveFile) + Size(LruList.ActiveFile);
        if (FileCost + AnonCost > size / 4)
        {
            FileCost /= 2;
            AnonCost /= 2;
        }

        Exit();
    }
}
