using MemSim.Diagnostics;
using MemSim.Hardware;

namespace MemSim.Statistics;

/// <summary>Calls a receiver's method for one event.</summary>
internal delegate void TraceDelivery<in TSink, TEvent>(TSink sink, Cpu cpu, in TEvent e);

/// <summary>The receivers of a group of tracepoints. A group is a class with a method for each tracepoint, which passes its fields on; hot paths test whether anybody listens before they call one.</summary>
internal abstract class TraceFanOut<TSink> : IReopened
    where TSink : class
{
    private TSink[] _sinks = [];

    /// <summary>Told when the first receiver came or the last one went.</summary>
    public Action? Changed { get; set; }

    public bool IsIdle => _sinks.Length == 0;

    /// <summary>Adds a receiver; one that is added twice is called twice.</summary>
    public void Attach(TSink sink)
    {
        _sinks = [.. _sinks, sink];
        Changed?.Invoke();
    }

    /// <summary>Removes a receiver; nothing happens when it is not attached.</summary>
    public void Detach(TSink sink)
    {
        Remove(sink);
        Changed?.Invoke();
    }

    /// <summary>Passes an event on to everyone who listens.</summary>
    /// <param name="cpu">Where it happened.</param>
    /// <param name="e">Its fields.</param>
    /// <param name="deliver">Static, so that no call allocates.</param>
    protected void Pass<TEvent>(Cpu cpu, in TEvent e, TraceDelivery<TSink, TEvent> deliver)
    {
        // Not a using: what receivers throw is caught, and a finally is a call of its own each time.
        UserCodeScope scope = new(cpu);
        foreach (TSink sink in _sinks)
        {
            try
            {
                deliver(sink, cpu, in e);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }

        scope.Dispose();
    }

    /// <summary>The receivers, for events so frequent that their group passes them on by itself, as <see cref="Pass"/> does.</summary>
    protected TSink[] Sinks => _sinks;

    /// <summary>A receiver threw: it gets nothing any more, and the exception goes to who called, once the kernel's work is done. Other CPUs may be at work: their modes stay.</summary>
    internal void Failed(Cpu cpu, TSink sink, Exception thrown)
    {
        Remove(sink);
        cpu.Machine.Callouts.Failed(thrown);
    }

    /// <summary>Of the receivers only the machine's own are left.</summary>
    void IReopened.Reopen() => Changed?.Invoke();

    private void Remove(TSink sink) => _sinks = [.. _sinks.Where(s => !ReferenceEquals(s, sink))];
}
