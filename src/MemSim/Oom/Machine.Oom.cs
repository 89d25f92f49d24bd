using MemSim.Oom;

namespace MemSim;

/// <content>The OOM killer.</content>
public sealed partial class Machine
{
    internal OomKiller OomKiller { get; private set; } = null!;

    /// <summary>Attaches a receiver of the OOM killer's tracepoints.</summary>
    /// <param name="sink">The receiver.</param>
    internal void AttachOomTrace(IOomTraceSink sink) => Attach(OomKiller.Trace, sink);

    /// <summary>Detaches a receiver of the OOM killer's tracepoints; nothing happens when it is not attached.</summary>
    /// <param name="sink">The receiver.</param>
    internal void DetachOomTrace(IOomTraceSink sink) => Detach(OomKiller.Trace, sink);
}
