using System.Diagnostics;
using System.Runtime.CompilerServices;
using MemSim.Pages;
using MemSim.Zones;

namespace MemSim.Lru;

/// <summary>The LRU lists of all nodes: which pages reclaim looks at, in which order (<c>mm/swap.c</c>).</summary>
/// <remarks>
/// Frame numbers given are heads of allocated blocks to which the caller holds a reference. Being on a list is no reference; being in a CPU's batch is one.
/// Which pages are old is kept in one of two ways, each with an engine of its own in <c>Reclaim</c>: active and inactive lists, or generations (<see cref="LruGenerations"/>).
/// </remarks>
internal sealed partial class LruManager
{
    private readonly Machine _machine;
    private readonly FrameTable _table;
    private readonly FrameArray _frames;
    private readonly MappingTable _mappings;
    private readonly Zone[] _zones;
    private readonly LruVec[] _vecs;
    private readonly LruVec[] _vecOfZone;
    private readonly MemMap _map;
    private readonly CpuLruBatches[] _batches;
    private readonly bool _parallel;
    private readonly bool _freesInOrder;

    public LruManager(Machine machine, MemMap map, bool restored, bool tracksIdle)
    {
        _machine = machine;
        _table = machine.Frames;
        _frames = machine.Frames.Array;
        _mappings = machine.Frames.Mappings;
        _map = map;
        _parallel = machine.IsParallel;
        _zones = [.. machine.Zones];
        Kernels.ReclaimRules rules = machine.Personality.Reclaim;
        _freesInOrder = rules.FreesInOrder;
        Ages = new PageAges(machine.Frames.Count);
        Idle = tracksIdle ? new IdlePages(machine.Frames.Count, outlivesPages: machine.Architecture.Bits == 32) : null;
        _table.Idle = Idle;
        HasGenerations = rules.HasGenerations;
        ByGeneration = rules.HasGenerations && rules.GenerationsAtBoot;
        _vecs = new LruVec[machine.Nodes.Count];
        _vecOfZone = new LruVec[_zones.Length];
        for (int i = 0; i < _vecs.Length; i++)
        {
            Node node = machine.Nodes[i];
            _vecs[i] = new LruVec(node, i, _frames, map.TakeListHeads(LruVec.AllHeads), _parallel);
            _vecs[i].Watch(machine.Interleaver);
            foreach (Zone zone in node.Zones)
            {
                _vecOfZone[zone.Id] = _vecs[i];
            }

            BeginGenerations(_vecs[i]);
        }

        _batches = new CpuLruBatches[machine.Cpus.Count];
        for (int i = 0; i < _batches.Length; i++)
        {
            _batches[i] = new CpuLruBatches(machine.Personality.Reclaim.ListBatchPages);
            _batches[i].Watch(machine.Interleaver);
        }

        if (restored)
        {
            ForgetRestored();
        }
    }

    /// <summary>Which pages nobody used lately; null without idle page tracking.</summary>
    public IdlePages? Idle { get; }

    /// <summary>Who reclaims pages that are named.</summary>
    public IPageOut PageOut { get; set; } = null!;

    /// <summary>What deals with hardware errors.</summary>
    public IPageFailures Failures { get; set; } = null!;

    /// <summary>Who answers for mapped and cached pages.</summary>
    public IPageOwners Owners { get; set; } = null!;

    /// <summary>Pages of a restored state say that they are on lists of the machine they come from: their owners are not known here, so nobody may reclaim or move them.</summary>
    private void ForgetRestored()
    {
        const PageFlags onList = PageFlags.Lru | PageFlags.Active | PageFlags.Unevictable;
        foreach (Zone zone in _zones)
        {
            FramesInUse used = new(_machine, zone.StartPfn.Value, zone.EndPfn.Value);
            while (used.MoveNext())
            {
                ref PageFrame frame = ref _frames[used.Pfn];
                if (frame.IsOnLru)
                {
                    frame.Clear(onList);
                }
            }
        }
    }

    /// <summary>The lists of a node.</summary>
    public LruVec Of(Node node)
    {
        foreach (LruVec vec in _vecs)
        {
            if (vec.Node == node)
            {
                return vec;
            }
        }

        throw new ArgumentException($"{node} belongs to another machine", nameof(node));
    }

    /// <summary>The lists that a page is or would be on: those of its node and of the cgroup that pays for it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public LruVec OfPage(int pfn)
    {
        LruVec root = _vecOfZone[_frames[pfn].ZoneId];
        return _charges is null ? root : OfCharged(pfn, root);
    }

    /// <summary>Whether a page was ever put on a list.</summary>
    public bool WasUsed { get; private set; }

    /// <summary>Puts a new page on the list its flags name, by way of this CPU's batch (<c>folio_add_lru()</c>).</summary>
    public void Add(Cpu cpu, int pfn)
    {
        if (ByGeneration && _batches[cpu.Id].InFault && (cpu.Current.Flags & TaskFlags.MemAlloc) == 0 && !_frames[pfn].IsUnevictable)
        {
            SetFlags(ref _frames[pfn], PageFlags.Active);
        }

        Defer(cpu, LruBatch.Add, pfn);
    }

    /// <summary>Notes that a page was used: inactive, unreferenced → inactive, referenced → active; active, unreferenced → active, referenced (<c>folio_mark_accessed()</c>).</summary>
    public void MarkAccessed(Cpu cpu, int pfn)
    {
        ref PageFrame frame = ref _frames[pfn];
        if (ByGeneration)
        {
            NoteAccess(ref frame, pfn);
            return;
        }

        PageFlags flags = frame.StoredFlags;
        if ((flags & PageFlags.Referenced) == 0)
        {
            SetFlags(ref frame, PageFlags.Referenced);
        }
        else if ((flags & (PageFlags.Unevictable | PageFlags.Active)) == 0)
        {
            if ((flags & PageFlags.Lru) != 0)
            {
                Activate(cpu, pfn);
            }
            else
            {
                ActivateInBatch(cpu, pfn);
            }

            ClearFlags(ref frame, PageFlags.Referenced);
            OfPage(pfn).Age(1L << frame.Order);
        }

        Idle?.Used(pfn);
    }

    /// <summary>Makes a page on an inactive list active (<c>folio_activate()</c>).</summary>
    public void Activate(Cpu cpu, int pfn)
    {
        if (_frames[pfn].Is(PageFlags.Lru, of: PageFlags.Lru | PageFlags.Active | PageFlags.Unevictable))
        {
            Defer(cpu, LruBatch.Activate, pfn);
        }
    }

    /// <summary>Makes an active page inactive and forgets that it was used (<c>deactivate_page()</c>, <c>MADV_COLD</c>).</summary>
    public void Deactivate(Cpu cpu, int pfn)
    {
        if (ByGeneration)
        {
            if (_frames[pfn].Is(PageFlags.Lru, of: PageFlags.Lru | PageFlags.Unevictable) && !ForgetAccesses(pfn))
            {
                Defer(cpu, LruBatch.Deactivate, pfn);
            }

            return;
        }

        if (_frames[pfn].Is(PageFlags.Lru | PageFlags.Active, of: PageFlags.Lru | PageFlags.Active | PageFlags.Unevictable))
        {
            Defer(cpu, LruBatch.Deactivate, pfn);
        }
    }

    /// <summary>Moves a file page that could not be invalidated to where reclaim finds it soon (<c>deactivate_file_folio()</c>).</summary>
    public void DeactivateFile(Cpu cpu, int pfn)
    {
        if (!_frames[pfn].IsUnevictable && !(ByGeneration && ForgetAccesses(pfn)))
        {
            Defer(cpu, LruBatch.DeactivateFile, pfn);
        }
    }

    /// <summary>Makes an anonymous page one that can be dropped without writing it (<c>mark_page_lazyfree()</c>, <c>MADV_FREE</c>).</summary>
    public void LazyFree(Cpu cpu, int pfn)
    {
        if (IsLazyFreeable(ref _frames[pfn]))
        {
            Defer(cpu, LruBatch.LazyFree, pfn);
        }
    }

    /// <summary>Moves a page that reclaim had written to the end at which reclaim looks next (<c>folio_rotate_reclaimable()</c>).</summary>
    public void RotateAfterWriteback(Cpu cpu, int pfn)
    {
        const PageFlags busy = PageFlags.Locked | PageFlags.Dirty | PageFlags.Unevictable;
        if (_frames[pfn].Is(PageFlags.Lru, of: busy | PageFlags.Lru))
        {
            Defer(cpu, LruBatch.Rotate, pfn);
        }
    }

    /// <summary>Takes a page off its list with a reference for the caller (<c>folio_isolate_lru()</c>).</summary>
    /// <remarks>
    /// Any frame will do: whoever scans memory does not know whether another CPU is freeing it. Under the list's lock a page that says it is on a list stays one, for it
    /// cannot be freed without leaving the list.
    /// </remarks>
    /// <returns>False when it is on no list, or somebody else has it.</returns>
    public bool Isolate(int pfn)
    {
        ref PageFrame frame = ref _frames[pfn];
        if (!frame.IsOnLru)
        {
            return false;
        }

        LruVec vec = OfPage(pfn);
        vec.Enter();
        bool isolated = frame.IsOnLru && TryGet(pfn);
        if (isolated && !TestClearLru(ref frame))
        {
            // Another CPU, which holds a reference too, has it and waits for the lock.
            _table.AddReferences(pfn, -1);
            isolated = false;
        }

        if (isolated)
        {
            vec.Remove(ref frame, pfn, _zones[frame.ZoneId]);
            Debug.Assert(!frame.IsOnLru && frame.RefCount > 0, "an isolated page is on no list, and held");
        }

        vec.Exit();
        return isolated;
    }

    /// <summary>Gives an isolated page back to its list and drops the isolator's reference (<c>folio_putback_lru()</c>).</summary>
    public void PutBack(Cpu cpu, int pfn)
    {
        Add(cpu, pfn);
        Put(cpu, pfn);
    }

    /// <summary>Sets flags of a frame; atomically on a machine with parallel CPUs.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void SetFlags(ref PageFrame frame, PageFlags flags) => frame.Set(flags, _parallel);

    /// <summary>Clears flags of a frame; atomically on a machine with parallel CPUs.</summary>
    /// <returns>The flags before.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public PageFlags ClearFlags(ref PageFrame frame, PageFlags flags) => frame.Clear(flags, _parallel);

    /// <summary>Takes the right to move a page: exactly one caller gets it (<c>folio_test_clear_lru()</c>).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TestClearLru(ref PageFrame frame) => frame.TestClear(PageFlags.Lru, _parallel);

    private static bool IsLazyFreeable(ref PageFrame frame)
    {
        const PageFlags swapBacked = PageFlags.SwapBacked | PageFlags.Lru;
        const PageFlags others = PageFlags.OwnerPrivate1 | PageFlags.Unevictable;
        return frame.Is(swapBacked, of: swapBacked | others) && frame.IsAnonymous;
    }
}
