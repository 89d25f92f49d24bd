namespace MemSim.Diagnostics;

/// <summary>The receivers of a group of tracepoints. Whoever emits them keeps one only while somebody listens: that is what hot paths test.</summary>
internal abstract class TraceFanOut<TSink>
    where TSink : class
{
    protected TSink[] Sinks { get; private set; } = [];

    public bool IsIdle => Sinks.Length == 0;

    /// <summary>Adds a receiver; one that is added twice is called twice.</summary>
    public void Attach(TSink sink) => Sinks = [.. Sinks, sink];

    /// <summary>Removes a receiver; nothing happens when it is not attached.</summary>
    /// <returns>Whether nobody listens any more.</returns>
    public bool Detach(TSink sink)
    {
        Sinks = [.. Sinks.Where(s => !ReferenceEquals(s, sink))];
        return IsIdle;
    }

    /// <summary>A receiver threw: it gets nothing any more, and the exception goes to who called, once the kernel's work is done.</summary>
    protected void Failed(Cpu cpu, TSink sink, Exception e)
    {
        _ = Detach(sink);
        cpu.Machine.Callouts.Failed(e);
    }
}
