using System.Diagnostics;
using System.Runtime.CompilerServices;
using MemSim.Pages;
using MemSim.Statistics;

namespace MemSim.Lru;

/// <content>Per-CPU batches: what is put off, and how it is done at last.</content>
internal sealed partial class LruManager
{
    /// <summary>Does all that this CPU has put off (<c>lru_add_drain()</c>).</summary>
    public void Drain(Cpu cpu) => DrainBatches(cpu, _batches[cpu.Id]);

    /// <summary>Does all that any CPU has put off (<c>lru_add_drain_all()</c>).</summary>
    /// <param name="by">The CPU that wants it: where CPUs are parallel it does the work of the others too, for their host threads may be anywhere. Null when no thread drives a CPU.</param>
    public void DrainAll(Cpu? by = null)
    {
        foreach (Cpu cpu in _machine.Cpus)
        {
            DrainBatches(_parallel && by is not null ? by : cpu, _batches[cpu.Id]);
        }
    }

    /// <summary>Pages that a CPU's batches hold a reference to.</summary>
    public int Pending(Cpu cpu)
    {
        int pages = 0;
        for (LruBatch batch = 0; batch < LruBatch.Count; batch++)
        {
            pages += _batches[cpu.Id].CountOf(batch);
        }

        return pages;
    }

    private void DrainBatches(Cpu cpu, CpuLruBatches batches)
    {
        for (LruBatch batch = 0; batch < LruBatch.Count; batch++)
        {
            Flush(cpu, batches, batch);
        }
    }

    /// <summary>Puts a page into a batch, with a reference; a full batch is done at once, and so is one with a compound page.</summary>
    private void Defer(Cpu cpu, LruBatch batch, int pfn)
    {
        if (_parallel)
        {
            DeferLocked(cpu, batch, pfn);
            return;
        }

        ref PageFrame frame = ref _frames[pfn];
        Debug.Assert(frame.RefCount > 0, "a page without references");
        frame.AddReferences(1, shared: false);
        CpuLruBatches batches = _batches[cpu.Id];
        if (batches.Push(batch, pfn) == batches.BatchPages || frame.Order != 0)
        {
            Flush(cpu, batches, batch);
        }
    }

    /// <summary>The same where other CPUs may drain the batch meanwhile.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void DeferLocked(Cpu cpu, LruBatch batch, int pfn)
    {
        Debug.Assert(_frames[pfn].RefCount > 0, "a page without references");
        _table.AddReferences(pfn, 1);
        CpuLruBatches batches = _batches[cpu.Id];
        batches.Enter();
        bool full = batches.Push(batch, pfn) == batches.BatchPages || _frames[pfn].Order != 0;
        batches.Exit();
        if (full)
        {
            Flush(cpu, batches, batch);
        }
    }

    private void Flush(Cpu cpu, CpuLruBatches batches, LruBatch batch)
    {
        if (!WasUsed)
        {
            WasUsed = true;
        }

        if (ByGeneration && !Ages.IsMade)
        {
            Ages.Make();
        }

        // Copied, so that another CPU that drains everything meets an empty batch.
        Span<int> pages = stackalloc int[CpuLruBatches.MaxPages];
        if (_parallel)
        {
            batches.Enter();
        }

        int count = batches.CountOf(batch);
        if (count != 0)
        {
            batches.PagesOf(batch)[..count].CopyTo(pages);
            if (_parallel)
            {
                _machine.Interleaver?.Pass("LruManager.Flush");
            }

            batches.CountOf(batch) = 0;
        }

        if (_parallel)
        {
            batches.Exit();
        }

        if (count == 0)
        {
            return;
        }

        if (batch == LruBatch.Add && !_parallel)
        {
            AddAll(cpu, pages[..count]);
            return;
        }

        Move(batch, pages[..count]);
        PutAll(cpu, pages[..count]);
    }

    /// <summary>Moves a batch of new pages, most of which are plain (nobody locks them into memory), and drops its references: one pass, counters added up.</summary>
    private void AddAll(Cpu cpu, Span<int> pages)
    {
        MoveEvents events = default;
        FrameArray frames = _frames;

        bool isPlain = !ByGeneration && _mappings.KeepingOwners == 0;
        bool isCharged = _charges is not null;
        LruVec? run = null;
        uint key = ~0u;
        LruList list = default;
        int zoneId = 0;
        int head = 0;
        long counted = 0;
        int last = 0;
        foreach (int pfn in pages)
        {
            ref PageFrame frame = ref frames[pfn];
            Debug.Assert(frame.RefCount > 0, "the batch holds its pages");
            if (!isPlain || frame.Has(PageFlags.Unevictable | PageFlags.Mlocked))
            {
                AddOne(ref frame, pfn, ref events);
            }
            else
            {
                if (frame.ListKey != key || (isCharged && OfPage(pfn) != run))
                {
                    CountRun(run, zoneId, list, counted);
                    counted = 0;
                    key = frame.ListKey;
                    zoneId = frame.ZoneId;
                    list = LruVec.ListOf(frame.StoredFlags);
                    run = OfPage(pfn);
                    head = run.Head(list);
                }

                counted += 1L << frame.Order;
                frame.Set(PageFlags.Lru);
                frames.AddFirst(head, ref frame, pfn);
            }

            if (!frame.TryDropOneOfSeveral())
            {
                pages[last++] = pfn;
            }
        }

        CountRun(run, zoneId, list, counted);
        events.Count(_machine.Events);
        if (last != 0)
        {
            PutAll(cpu, pages[..last]);
        }
    }

    /// <summary>Puts a page on its list that is not like nearly all.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void AddOne(ref PageFrame frame, int pfn, ref MoveEvents events)
    {
        if (ByGeneration && !frame.Has(PageFlags.Unevictable | PageFlags.Mlocked) && !IsKept(ref frame))
        {
            OfPage(pfn).Generations!.Add(ref frame, pfn, _zones[frame.ZoneId], oldest: false);
        }
        else
        {
            AddNow(OfPage(pfn), ref frame, pfn, _zones[frame.ZoneId], ref events);
        }

        frame.Set(PageFlags.Lru);
    }

    private void CountRun(LruVec? vec, int zoneId, LruList list, long pages)
    {
        if (pages != 0)
        {
            vec!.Count(_zones[zoneId], list, pages);
        }
    }

    /// <summary>Moves the pages of a batch (<c>folio_batch_move_lru()</c>).</summary>
    private void Move(LruBatch batch, ReadOnlySpan<int> pages)
    {
        MoveEvents events = default;
        LruVec? locked = null;
        foreach (int pfn in pages)
        {
            ref PageFrame frame = ref _frames[pfn];
            if (batch != LruBatch.Add && !TestClearLru(ref frame))
            {
                continue;
            }

            LruVec vec = OfPage(pfn);
            if (vec != locked)
            {
                locked?.Exit();
                vec.Enter();
                locked = vec;
            }

            Move(batch, vec, ref frame, pfn, ref events);
            SetFlags(ref frame, PageFlags.Lru);
        }

        locked?.Exit();
        events.Count(_machine.Events);
    }

    private void Move(LruBatch batch, LruVec vec, ref PageFrame frame, int pfn, ref MoveEvents events)
    {
        Zone zone = _zones[frame.ZoneId];
        switch (batch)
        {
            case LruBatch.Add:
                AddNow(vec, ref frame, pfn, zone, ref events);
                break;
            case LruBatch.Rotate:
                Rotate(vec, ref frame, pfn, zone, ref events);
                break;
            case LruBatch.DeactivateFile:
                DeactivateFile(vec, ref frame, pfn, zone, ref events);
                break;
            case LruBatch.Deactivate:
                if (frame.Is(PageFlags.Active, of: PageFlags.Unevictable | PageFlags.Active) || (ByGeneration && !frame.IsUnevictable))
                {
                    Relink(vec, ref frame, pfn, zone, PageFlags.Active | PageFlags.Referenced);
                    events.Deactivated += 1L << frame.Order;
                    vec.Counters.Add(LruVecCount.Deactivate, 1L << frame.Order);
                }

                break;
            case LruBatch.LazyFree:
                if (IsLazyFreeableOffList(ref frame))
                {
                    Relink(vec, ref frame, pfn, zone, PageFlags.Active | PageFlags.Referenced | PageFlags.SwapBacked);
                    events.LazyFreed += 1L << frame.Order;
                    vec.Counters.Add(LruVecCount.LazyFree, 1L << frame.Order);
                }

                break;
            default:
                if (!frame.Has(PageFlags.Unevictable | PageFlags.Active))
                {
                    vec.Remove(ref frame, pfn, zone);
                    SetFlags(ref frame, PageFlags.Active);
                    vec.Add(ref frame, pfn, zone);
                    events.Activated += 1L << frame.Order;
                    vec.Counters.Add(LruVecCount.Activate, 1L << frame.Order);
                }

                break;
        }
    }

    /// <summary>Puts a page on its list (<c>lru_add_fn()</c>). One that became evictable meanwhile is rescued, one that must not be evicted culled.</summary>
    private void AddNow(LruVec vec, ref PageFrame frame, int pfn, Zone zone, ref MoveEvents events)
    {
        bool wasUnevictable = (ClearFlags(ref frame, PageFlags.Unevictable) & PageFlags.Unevictable) != 0;
        if (IsEvictable(ref frame))
        {
            events.Rescued += wasUnevictable ? 1L << frame.Order : 0;
        }
        else
        {
            ClearFlags(ref frame, PageFlags.Active);
            SetFlags(ref frame, PageFlags.Unevictable);
            frame.Prev = 0;
            events.Culled += wasUnevictable ? 0 : 1L << frame.Order;
        }

        vec.Add(ref frame, pfn, zone);
    }

    private void Rotate(LruVec vec, ref PageFrame frame, int pfn, Zone zone, ref MoveEvents events)
    {
        if (!frame.IsUnevictable)
        {
            vec.Remove(ref frame, pfn, zone);
            ClearFlags(ref frame, PageFlags.Active);
            vec.Add(ref frame, pfn, zone, back: true);
            events.Rotated += 1L << frame.Order;
        }
    }

    private void DeactivateFile(LruVec vec, ref PageFrame frame, int pfn, Zone zone, ref MoveEvents events)
    {
        if (frame.IsUnevictable || frame.MapCount != 0)
        {
            return;
        }

        bool wasActive = frame.IsActive;
        vec.Remove(ref frame, pfn, zone);
        ClearFlags(ref frame, PageFlags.Active | PageFlags.Referenced);
        bool busy = frame.Has(PageFlags.Writeback | PageFlags.Dirty);
        if (busy)
        {
            // It goes to the back when its write ends.
            SetFlags(ref frame, PageFlags.Reclaim);
        }
        else
        {
            events.Rotated += 1L << frame.Order;
        }

        vec.Add(ref frame, pfn, zone, back: !busy);
        events.Deactivated += wasActive ? 1L << frame.Order : 0;
        vec.Counters.Add(LruVecCount.Deactivate, wasActive ? 1L << frame.Order : 0);
    }

    private void Relink(LruVec vec, ref PageFrame frame, int pfn, Zone zone, PageFlags cleared)
    {
        vec.Remove(ref frame, pfn, zone);
        ClearFlags(ref frame, cleared);
        vec.Add(ref frame, pfn, zone);
    }

    private static bool IsLazyFreeableOffList(ref PageFrame frame) =>
        frame.Is(PageFlags.SwapBacked, of: PageFlags.SwapBacked | PageFlags.OwnerPrivate1 | PageFlags.Unevictable)
        && frame.IsAnonymous;

    /// <summary>A page that is still waiting in this CPU's batch becomes active there (<c>__lru_cache_activate_folio()</c>).</summary>
    private void ActivateInBatch(Cpu cpu, int pfn)
    {
        CpuLruBatches batches = _batches[cpu.Id];
        if (_parallel)
        {
            batches.Enter();
        }

        if (batches.PagesOf(LruBatch.Add)[..batches.CountOf(LruBatch.Add)].Contains(pfn))
        {
            SetFlags(ref _frames[pfn], PageFlags.Active);
        }

        if (_parallel)
        {
            batches.Exit();
        }
    }

    /// <summary>What a batch's moves count as, counted once a batch.</summary>
    private struct MoveEvents
    {
        public long Activated;
        public long Deactivated;
        public long Rotated;
        public long LazyFreed;
        public long Culled;
        public long Rescued;

        public readonly void Count(VmEvents events)
        {
            CountOne(events, VmEvent.Activate, Activated);
            CountOne(events, VmEvent.Deactivate, Deactivated);
            CountOne(events, VmEvent.Rotated, Rotated);
            CountOne(events, VmEvent.LazyFree, LazyFreed);
            CountOne(events, VmEvent.UnevictablePagesCulled, Culled);
            CountOne(events, VmEvent.UnevictablePagesRescued, Rescued);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void CountOne(VmEvents events, VmEvent e, long pages)
        {
            if (pages != 0)
            {
                events.Count(e, pages);
            }
        }
    }
}
