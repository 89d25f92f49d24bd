using System.Runtime.InteropServices;

namespace MemSim.Recordings.Replay;

/// <summary>Says which recorded events may stand in another order than what they tell of.</summary>
/// <remarks>
/// An allocation is recorded after the page has left its list (and was cleared), a free before its page is in one. If an interrupt hits in between, or another
/// task gets the CPU, events of theirs come first or last that touched the lists later or earlier. But a task records nothing in between: where it did, nothing
/// was displaced.
/// </remarks>
internal sealed class TraceDisplacement
{
    private readonly bool _betweenTasks;
    private readonly int[] _previous;
    private readonly int[] _next;

    /// <summary>Finds each event's neighbours of the same task.</summary>
    /// <param name="events">The events.</param>
    /// <param name="betweenTasks">Whether tasks can lose the CPU in between, or only interrupts come.</param>
    public TraceDisplacement(ReadOnlySpan<TraceStepEvent> events, bool betweenTasks)
    {
        _betweenTasks = betweenTasks;
        _previous = new int[events.Length];
        _next = new int[events.Length];
        Dictionary<int, (int Any, int Outside)> last = [];
        List<int> lastOnCpu = [];
        for (int i = 0; i < events.Length; i++)
        {
            ref readonly TraceStepEvent e = ref events[i];
            _next[i] = i;
            _previous[i] = i;
            if (e.InInterrupt || e.Step == TraceStep.StatUpdate)
            {
                continue;
            }

            // A task of which nothing is heard any more had finished when the next one got the CPU.
            while (lastOnCpu.Count <= e.Cpu)
            {
                lastOnCpu.Add(-1);
            }

            if (lastOnCpu[e.Cpu] >= 0)
            {
                _next[lastOnCpu[e.Cpu]] = i;
            }

            lastOnCpu[e.Cpu] = i;
            ref (int Any, int Outside) task = ref CollectionsMarshal.GetValueRefOrAddDefault(last, TaskOf(e), out bool known);
            _previous[i] = known ? task.Outside : -1;
            if (known)
            {
                _next[task.Any] = i;
            }

            // When a task gets the CPU back, the scheduler first frees the stack and tables of the one before that has died, in this one's name.
            bool inScheduler = e.Step == TraceStep.Free && e.PreemptDepth != 0;
            task = (i, inScheduler ? _previous[i] : i);
        }
    }

    /// <summary>Whether an allocation may have taken its page before another event, although it is recorded after it.</summary>
    public bool MayHaveTakenBefore(ReadOnlySpan<TraceStepEvent> events, int allocation, int other) =>
        _previous[allocation] < other && (MayComeBetween(events[allocation], events[other])
            || (CpuBefore(events, allocation) == events[other].Cpu && MayComeBetween(events[allocation] with { Cpu = events[other].Cpu }, events[other])));

    /// <summary>Whether the page of a free may have reached its list after another event, although it is recorded before it.</summary>
    public bool MayHaveArrivedAfter(ReadOnlySpan<TraceStepEvent> events, int free, int other) =>
        events[free].Step == TraceStep.Free && !events[free].InInterrupt && other < _next[free] && MayComeBetween(events[free], events[other]);

    /// <summary>The CPU on which an event's task was before: if it moved since, it may have taken its page there.</summary>
    public int CpuBefore(ReadOnlySpan<TraceStepEvent> events, int index) =>
        _betweenTasks && _previous[index] >= 0 && !events[index].InInterrupt ? events[_previous[index]].Cpu : events[index].Cpu;

    private bool MayComeBetween(in TraceStepEvent held, in TraceStepEvent other) =>
        other.Cpu == held.Cpu && (other.InInterrupt || (_betweenTasks && TaskOf(other) != TaskOf(held)));

    /// <summary>Each CPU has an idle task of its own, all with the number 0.</summary>
    private static int TaskOf(in TraceStepEvent e) => e.Pid != 0 ? e.Pid : -1 - e.Cpu;
}
