using System.Globalization;
using MemSim.Recordings.Replay;
using MemSim.Zones;

namespace MemSim.Recordings;

/// <content>Predicting one allocation, and what to do when the prediction was wrong.</content>
public sealed partial class TraceReplay
{
    private void Allocate(in TraceStepEvent e)
    {
        Cpu cpu = _actors[e.Cpu];
        ref (long Allocations, long Predicted) counts = ref _cpus[e.Cpu];
        counts.Allocations++;
        bool tells = _recording.TellsStart(_now);
        _tellStart += tells ? 1 : 0;
        if (_takenEarly.Remove(_now))
        {
            counts.Predicted++;
            _tellStartRightly += tells ? 1 : 0;
            _displaced++;
            TallyAllocation(e, e.Pfn, predicted: true);
            return;
        }

        PcpTuningState tuning = _frames!.TuningOf(cpu, e.Pfn);
        long refills = _sink.ZoneLocked;
        int pfn = e.Refilled ? AskPastRefill(cpu, e) : Ask(cpu, e);
        for (int i = 0; pfn >= 0 && pfn != e.Pfn && IsElsewhere(cpu, e, pfn, _sink.ZoneLocked == refills) && i < MostInferencesInARow; i++)
        {
            // Whoever took it asked for several at once, which does not count as a question.
            tuning.Restore(0);
            refills = _sink.ZoneLocked;
            pfn = Ask(cpu, e);
        }

        if (pfn >= 0 && pfn != e.Pfn && (TryPutInOrder(cpu, e, ref pfn) || TryWhereTaskWas(cpu, e, ref pfn)))
        {
            _displaced++;
        }

        bool predicted = pfn == e.Pfn;
        TallyAllocation(e, pfn, predicted);
        if (predicted)
        {
            counts.Predicted++;
            _tellStartRightly += tells ? 1 : 0;
        }
        else
        {
            Correct(cpu, e, pfn);
        }

        if ((e.Gfp & Gfp.Movable) != 0 && _frames!.ZoneOf(e.Pfn, e.Order) is not null)
        {
            _frames.MarkLru(e.Pfn);
        }
    }

    /// <summary>Whether a frame handed out cannot have been in the list: taken without an event, or back in the free lists.</summary>
    private bool IsElsewhere(Cpu cpu, in TraceStepEvent e, int pfn, bool fromList)
    {
        if (_recording.IsFreedNext(pfn))
        {
            // Stays allocated: the free that comes finds it so.
            _inferred += 1L << e.Order;
            return true;
        }

        // Only what stands before the recorded frame: a list that holds it not at all is wrong in other ways.
        if (fromList && _recording.IsInFreeListsNow(pfn) && _frames!.IsInList(cpu, e.Pfn, e.Order, (int)GfpZones.MigrateTypeOf(e.Gfp)))
        {
            _givenBackUnseen += 1L << e.Order;
            _frames.FreePastLists(cpu, pfn, e.Order);
            return true;
        }

        return false;
    }

    /// <summary>A recorded refill says that the list was empty: what is in it here and comes from the free lists next has gone back to them.</summary>
    private void GiveBackBeforeRefill(in TraceStepEvent e)
    {
        if (_frames!.ZoneOf(e.Pfn, e.Order) is not { } zone || !_frames!.HasList(e.Order))
        {
            return;
        }

        Cpu cpu = _actors[e.Cpu];
        _frames.CopyListBackwards(cpu.Lists.Pcp[zone.Id], PerCpuPages.ListIndex(e.Order, e.MigrateType), _left);
        foreach (int block in _left)
        {
            if (_recording.IsInFreeListsNow(block))
            {
                _givenBackUnseen += 1L << e.Order;
                _frames.Drain(cpu, block, e.Order);
            }
        }
    }

    /// <summary>
    /// Allocates where the recording shows that the list was empty and refilled: blocks still in the list here were taken without an event, unless the recording
    /// shows them being allocated later.
    /// </summary>
    private int AskPastRefill(Cpu cpu, in TraceStepEvent e)
    {
        long before = _sink.ZoneLocked;
        _passedOver.Clear();
        int pfn = Ask(cpu, e);
        while (pfn >= 0 && pfn != e.Pfn && _sink.ZoneLocked == before && SameZone(pfn, e.Pfn) && !_recording.IsAllocatedNext(pfn) && _passedOver.Count < MostPassedOver)
        {
            _passedOver.Push(pfn);
            pfn = Ask(cpu, e);
        }

        if (pfn >= 0 && pfn != e.Pfn && _sink.ZoneLocked == before)
        {
            // The list is not empty for another reason: a prediction like any other.
            return TakeBackPassedOver(cpu, e, pfn);
        }

        _inferredFromRefills += (long)_passedOver.Count << e.Order;
        return pfn;
    }

    private bool SameZone(int pfn, int other) => _machine!.Zones[_machine.Frames.FrameOf(pfn).ZoneId] == _machine.ZoneTable.ZoneOf(other);

    /// <summary>Undoes all allocations since <see cref="_passedOver"/> was empty but the first.</summary>
    private int TakeBackPassedOver(Cpu cpu, in TraceStepEvent e, int pfn)
    {
        int type = (int)GfpZones.MigrateTypeOf(e.Gfp);
        while (_passedOver.TryPop(out int passed))
        {
            _frames!.Return(cpu, pfn, e.Order, type);
            pfn = passed;
        }

        return pfn;
    }

    /// <summary>A refill that no recorded allocation asked for: somebody emptied the list and takes blocks of it without an event.</summary>
    private void RefilledUntraced(in TraceStepEvent e)
    {
        Gfp gfp = (MigrateType)e.MigrateType switch
        {
            MigrateType.Movable => Gfp.HighUserMovable,
            MigrateType.Reclaimable => Gfp.Kernel | Gfp.Reclaimable,
            _ => Gfp.Kernel,
        };
        TraceStepEvent request = e with { Gfp = gfp };
        Cpu cpu = _actors[e.Cpu];
        long before = _sink.ZoneLocked;
        int pfn = AskPastRefill(cpu, request);
        if (pfn < 0)
        {
            return;
        }

        if (_sink.ZoneLocked == before || _recording.IsAllocatedNext(pfn))
        {
            _frames!.Return(cpu, pfn, e.Order, (int)GfpZones.MigrateTypeOf(gfp));
        }
        else
        {
            _inferredFromRefills += 1L << e.Order;
        }
    }

    /// <summary>Allocates as recorded.</summary>
    private int Ask(Cpu cpu, in TraceStepEvent e)
    {
        bool reclaims = (e.IsKswapd || _reclaiming.Contains(e.Pid)) && !e.InInterrupt;
        int pfn = AskAs(cpu, e, reclaims ? _memAlloc : cpu.Current);

        // The recording says that there was memory, so the task had rights that no event tells of: victims of the OOM killer do, and those who free memory.
        pfn = pfn < 0 ? AskAs(cpu, e, _victim) : pfn;
        return pfn < 0 ? AskAs(cpu, e, _memAlloc) : pfn;
    }

    private int AskAs(Cpu cpu, in TraceStepEvent e, KernelTask task)
    {
        // Failing quietly is for the report to say; a machine without reclaim cannot keep the promise never to fail.
        using ContextScope scope = cpu.Run(task);
        return _machine!.Pages.Allocate(cpu, (e.Gfp | Gfp.NoWarn) & ~Gfp.NoFail, e.Order);
    }

    private void TallyAllocation(in TraceStepEvent e, int pfn, bool predicted)
    {
        if (!_tally.IsEqual("pfn", predicted))
        {
            TallyMiss(e, pfn);
        }
    }

    private void TallyMiss(in TraceStepEvent e, int pfn)
    {
        string reason = Reason(e, pfn);
        _misses[reason] = _misses.GetValueOrDefault(reason) + 1;
        if (_missedLines.Count < MostMissedLines)
        {
            _missedLines.Add(e.Line);
        }

        if (_tally.KeepsMismatches)
        {
            _tally.AddMismatch("pfn", string.Create(CultureInfo.InvariantCulture,
                $"line {e.Line}: CPU {e.Cpu} order {e.Order} {GfpText.Format(e.Gfp)}: recorded pfn 0x{e.Pfn:x}, here {(pfn < 0 ? "no memory" : $"0x{pfn:x}")}; {reason}"));
        }
    }

    /// <summary>Where the recorded frame was instead: what there is to say about a wrong prediction.</summary>
    private string Reason(in TraceStepEvent e, int pfn)
    {
        if (_frames!.ZoneOf(e.Pfn, e.Order) is not { } zone)
        {
            return "the recorded frame is not part of this machine";
        }

        if (pfn < 0)
        {
            return "no memory here";
        }

        if (_machine!.Zones[_machine.Frames.FrameOf(pfn).ZoneId] != zone)
        {
            return "recorded in another zone";
        }

        switch (_frames.Find(e.Pfn, out int head, out int order))
        {
            case FramePlace.Untracked:
                return "recorded frame in use here since before the recording";
            case FramePlace.Allocated:
                return "recorded frame in use here";
            case FramePlace.FreeList:
                return order > e.Order ? "recorded frame within a larger free block here"
                    : order < e.Order ? "recorded block free here in parts"
                    : "recorded frame in the free lists here";
            default:
                PerCpuPages pcp = _frames.PcpOf(head, out int list);
                return pcp.Cpu != e.Cpu ? "recorded frame in the lists of another CPU here"
                    : list == PerCpuPages.ListIndex(e.Order, (int)GfpZones.MigrateTypeOf(e.Gfp)) ? "recorded frame further back in the list here"
                    : "recorded frame in another list of the CPU here";
        }
    }

    /// <summary>After a wrong prediction: brings the machine to where it has handed out the recorded frame.</summary>
    private void Correct(Cpu cpu, in TraceStepEvent e, int pfn)
    {
        // Frames never heard of again may have been taken without an event like those that are freed later: if without them the recorded frame is next, they were.
        _passedOver.Clear();
        PcpTuningState tuning = _frames!.TuningOf(cpu, e.Pfn);
        while (pfn >= 0 && pfn != e.Pfn && _recording.Upcoming(pfn) < 0 && _passedOver.Count < MostPassedOver)
        {
            _passedOver.Push(pfn);
            pfn = Ask(cpu, e);
        }

        tuning.Restore(0);
        if (pfn == e.Pfn)
        {
            NoticePassedOver(cpu, e.Order);
            return;
        }

        int type = (int)GfpZones.MigrateTypeOf(e.Gfp);
        if (pfn >= 0)
        {
            if (!SameZone(pfn, e.Pfn))
            {
                FoldCounters();
            }

            _frames!.Return(cpu, pfn, e.Order, type);
        }

        while (_passedOver.TryPop(out int passed))
        {
            _frames!.Return(cpu, passed, e.Order, type);
        }

        if (_frames!.ZoneOf(e.Pfn, e.Order) is not null)
        {
            _frames.SetAsideWhatIsAhead(cpu, e.Pfn, e.Order, type);
            _frames.Claim(cpu, e.Pfn, e.Order);
        }
    }

    /// <summary>Whether a page may have gone past the lists, because an interrupt freed it.</summary>
    private bool WasFreedPastLists(int pfn) =>
        _kernel.Line.Allocator.FreesPastHeldLists && _arrived[pfn] is not Never and int arrival && _recording.Events[arrival].InInterrupt;

    /// <summary>The blocks passed over were not in the list: freed past it, or taken without an event.</summary>
    private void NoticePassedOver(Cpu cpu, int order)
    {
        while (_passedOver.TryPop(out int passed))
        {
            if (WasFreedPastLists(passed))
            {
                _freedPastLists++;
                _frames!.FreePastLists(cpu, passed, order);
            }
            else
            {
                _untracedNoticed += 1L << order;
            }
        }
    }

    /// <summary>Another zone passed its watermark there: the worker that folds the CPUs' counters once a second, unrecorded, has been there.</summary>
    private void FoldCounters()
    {
        foreach (Zone zone in _machine!.Zones)
        {
            foreach (PerCpuPages pcp in zone.Pcp)
            {
                zone.FreePagesFolded += pcp.FreePagesDiff;
                pcp.FreePagesDiff = 0;
            }
        }
    }
}
