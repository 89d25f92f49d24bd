using MemSim.Recordings.Replay;

namespace MemSim.Recordings;

/// <content>Events that stand in another order than what they tell of.</content>
public sealed partial class TraceReplay
{
    private const int MostDisplaced = 512;

    private readonly HashSet<int> _takenEarly = [];
    private const int Never = -1;

    private readonly FrameMap<int> _arrived = new(Never);
    private readonly List<(int Pfn, int TakenBy)> _ahead = [];
    private readonly List<int> _left = [];
    private long _displaced;

    /// <summary>
    /// After a wrong prediction: whether the recorded frame comes next once what may have happened in another order than it is recorded in has done so.
    /// Pages ahead of it were then taken by somebody who recorded that later, or reached the list only after this allocation had looked.
    /// </summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="e">The allocation.</param>
    /// <param name="pfn">What the machine handed out; afterwards the recorded frame, or the same as before.</param>
    private bool TryPutInOrder(Cpu cpu, in TraceStepEvent e, ref int pfn)
    {
        ReadOnlySpan<TraceStepEvent> events = _recording.Events;
        _ahead.Clear();
        PcpTuningState tuning = _frames!.TuningOf(cpu, e.Pfn);
        int first = pfn;
        int taken = 0;
        while (pfn >= 0 && pfn != e.Pfn && _ahead.Count < MostDisplaced && SameZone(pfn, e.Pfn))
        {
            int takenBy = TakenEarlyBy(events, e, pfn);
            if (takenBy < 0 && !ArrivedLater(events, pfn, e))
            {
                break;
            }

            taken += takenBy >= 0 ? 1 : 0;
            _ahead.Add((pfn, takenBy));
            pfn = Ask(cpu, e);
        }

        bool found = pfn == e.Pfn;
        int type = (int)GfpZones.MigrateTypeOf(e.Gfp);
        if (!found && _ahead.Count != 0 && pfn >= 0)
        {
            _frames.Return(cpu, pfn, e.Order, type);
        }

        for (int i = _ahead.Count - 1; i >= 0; i--)
        {
            (int ahead, int takenBy) = _ahead[i];
            if (found && takenBy >= 0)
            {
                _takenEarly.Add(takenBy);
            }
            else if (found || i != 0)
            {
                _frames.Return(cpu, ahead, e.Order, type);
            }
        }

        tuning.Restore(found ? taken : 0);
        pfn = found ? pfn : first;
        return found;
    }

    /// <summary>
    /// After a wrong prediction: whether the recorded frame is the one handed out where the task was before. It took its page there and was moved to another CPU
    /// before it recorded that.
    /// </summary>
    private bool TryWhereTaskWas(Cpu cpu, in TraceStepEvent e, ref int pfn)
    {
        int before = _recording.Displacement.CpuBefore(_recording.Events, _now);
        if (before == e.Cpu)
        {
            return false;
        }

        int type = (int)GfpZones.MigrateTypeOf(e.Gfp);
        Cpu other = _machine!.Cpus[before];
        PcpTuningState tuning = _frames!.TuningOf(other, e.Pfn);
        int there = Ask(other, e);
        if (there != e.Pfn)
        {
            if (there >= 0)
            {
                _frames.Return(other, there, e.Order, type);
            }

            tuning.Restore(0);
            return false;
        }

        _frames.Return(cpu, pfn, e.Order, type);
        pfn = there;
        return true;
    }

    /// <summary>The later allocation, of the same kind, that may have taken a frame by now; -1 where there is none.</summary>
    private int TakenEarlyBy(ReadOnlySpan<TraceStepEvent> events, in TraceStepEvent e, int pfn)
    {
        int next = _recording.Upcoming(pfn);
        return next >= 0 && events[next].Step == TraceStep.Allocate && events[next].Order == e.Order && events[next].MigrateType == e.MigrateType
            && _recording.Displacement.MayHaveTakenBefore(events, next, _now)
            ? next
            : -1;
    }

    /// <summary>Whether a frame ahead of the recorded one may have reached the list only after this allocation, or before the recorded one did.</summary>
    private bool ArrivedLater(ReadOnlySpan<TraceStepEvent> events, int pfn, in TraceStepEvent e)
    {
        int arrival = _arrived[pfn];
        if (arrival == Never)
        {
            return false;
        }

        return _recording.Displacement.MayHaveTakenBefore(events, _now, arrival)
            || _recording.Displacement.MayHaveArrivedAfter(events, arrival, _now)
            || (_arrived[e.Pfn] is not Never and int own && own < arrival && _recording.Displacement.MayHaveArrivedAfter(events, own, arrival));
    }
}
