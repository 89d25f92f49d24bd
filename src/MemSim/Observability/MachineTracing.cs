namespace MemSim;

/// <summary>Receivers of tracepoints. <see cref="Machine.Tracing"/>.</summary>
public sealed class MachineTracing
{
    private readonly Machine _machine;

    internal MachineTracing(Machine machine) => _machine = machine;

    /// <summary>Records what page faults do from now on, step by step; null stops that.</summary>
    /// <param name="story">Receives the steps.</param>
    public void RecordFaults(FaultStory? story) => _machine.NeedsContents(_machine.Mm).Faults.Story = story;

    /// <summary>Attaches a receiver to the tracepoints that it has methods for.</summary>
    /// <param name="sink">The receiver. One that is attached twice receives everything twice.</param>
    /// <param name="events">Whose tracepoints; of those it has no methods for it gets none.</param>
    /// <exception cref="ArgumentException">It has no methods for any of them.</exception>
    /// <exception cref="InvalidOperationException">The sink receives page faults only, and the machine was booted without contents of RAM.</exception>
    /// <example>
    /// <code>
    /// using StringWriter text = new();
    /// using FtraceTextSink trace = new(text);
    /// machine.Tracing.Attach(trace);
    /// </code>
    /// </example>
    public void Attach(ITraceSink sink, TraceEvents events = TraceEvents.All)
    {
        TraceEvents wanted = Wanted(sink, events);
        _machine.ThrowIfDisposed();
        if (wanted == TraceEvents.None)
        {
            throw new ArgumentException($"{sink.GetType().Name} has no methods for {events}", nameof(sink));
        }

        if ((wanted & TraceEvents.Pages) != 0)
        {
            _machine.Hooks.Tracepoints.Attach((IPageTraceSink)sink);
        }

        if ((wanted & TraceEvents.Slab) != 0)
        {
            _machine.Slab.AttachTrace((ISlabTraceSink)sink);
        }

        if ((wanted & TraceEvents.Reclaim) != 0)
        {
            _machine.Reclaim.Tracepoints.Attach((IReclaimTraceSink)sink);
        }

        if ((wanted & TraceEvents.Compaction) != 0)
        {
            _machine.Migration.Tracepoints.Attach((ICompactionTraceSink)sink);
        }

        // Without contents of RAM nothing can fault.
        if ((wanted & TraceEvents.Faults) != 0 && (_machine.Mm is not null || wanted == TraceEvents.Faults))
        {
            _machine.NeedsContents(_machine.Mm).Faults.Tracepoints.Attach((IFaultTraceSink)sink);
        }

        if ((wanted & TraceEvents.Oom) != 0)
        {
            _machine.Oom.Killer.Trace.Attach((IOomTraceSink)sink);
        }
    }

    /// <summary>Detaches a receiver; nothing happens when it is not attached.</summary>
    /// <param name="sink">The receiver.</param>
    /// <param name="events">From whose tracepoints.</param>
    public void Detach(ITraceSink sink, TraceEvents events = TraceEvents.All)
    {
        TraceEvents wanted = Wanted(sink, events);
        if ((wanted & TraceEvents.Pages) != 0)
        {
            _machine.Hooks.Tracepoints.Detach((IPageTraceSink)sink);
        }

        if ((wanted & TraceEvents.Slab) != 0)
        {
            _machine.Slab.DetachTrace((ISlabTraceSink)sink);
        }

        if ((wanted & TraceEvents.Reclaim) != 0)
        {
            _machine.Reclaim.Tracepoints.Detach((IReclaimTraceSink)sink);
        }

        if ((wanted & TraceEvents.Compaction) != 0)
        {
            _machine.Migration.Tracepoints.Detach((ICompactionTraceSink)sink);
        }

        if ((wanted & TraceEvents.Faults) != 0)
        {
            _machine.Mm?.Faults.Tracepoints.Detach((IFaultTraceSink)sink);
        }

        if ((wanted & TraceEvents.Oom) != 0)
        {
            _machine.Oom.Killer.Trace.Detach((IOomTraceSink)sink);
        }
    }

    private static TraceEvents Wanted(ITraceSink sink, TraceEvents events)
    {
        ArgumentNullException.ThrowIfNull(sink);
        TraceEvents has = (sink is IPageTraceSink ? TraceEvents.Pages : 0) | (sink is ISlabTraceSink ? TraceEvents.Slab : 0)
            | (sink is IReclaimTraceSink ? TraceEvents.Reclaim : 0) | (sink is ICompactionTraceSink ? TraceEvents.Compaction : 0)
            | (sink is IFaultTraceSink ? TraceEvents.Faults : 0) | (sink is IOomTraceSink ? TraceEvents.Oom : 0);
        return has & events;
    }
}

/// <content>Tracepoints: who receives them.</content>
public sealed partial class Machine
{
    /// <summary>Tracepoints: who receives them.</summary>
    public MachineTracing Tracing { get; }
}
