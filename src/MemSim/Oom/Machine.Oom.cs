using MemSim.Oom;

namespace MemSim;

/// <content>The OOM killer.</content>
public sealed partial class Machine
{
    /// <summary>What the OOM killer last said: the report of a kill in the kernel's format, or of what was reaped; null when it never spoke.</summary>
    public string? LastOomReport => Oom.Reports.LastOrDefault();

    /// <summary>What the OOM killer said, oldest first; the last sixteen reports.</summary>
    public IReadOnlyCollection<string> OomReports => Oom.Reports;

    internal OomKiller Oom { get; private set; } = null!;

    /// <summary>Attaches a receiver of the OOM killer's tracepoints.</summary>
    /// <param name="sink">The receiver.</param>
    public void AttachOomTrace(IOomTraceSink sink)
    {
        ArgumentNullException.ThrowIfNull(sink);
        ThrowIfDisposed();
        Oom.Trace.Attach(sink);
    }

    /// <summary>Detaches a receiver of the OOM killer's tracepoints; nothing happens when it is not attached.</summary>
    /// <param name="sink">The receiver.</param>
    public void DetachOomTrace(IOomTraceSink sink)
    {
        ArgumentNullException.ThrowIfNull(sink);
        Oom.Trace.Detach(sink);
    }
}
