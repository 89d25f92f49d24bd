using MemSim.Migration;

namespace MemSim;

/// <content>The tracepoints of all that moves pages: migration, compaction, contiguous areas.</content>
public sealed partial class Machine
{
    private readonly CompactionTracepoints _compactionTracepoints = new();

    /// <summary>The tracepoints of compaction, migration and CMA when somebody listens, else null.</summary>
    internal CompactionTracepoints? CompactionTrace => _compactionTracepoints.IsIdle ? null : _compactionTracepoints;

    /// <summary>Attaches a receiver of the tracepoints of compaction, page migration and contiguous memory areas.</summary>
    /// <param name="sink">The receiver.</param>
    internal void AttachCompactionTrace(ICompactionTraceSink sink) => Attach(_compactionTracepoints, sink);

    /// <summary>Detaches a receiver; nothing happens when it is not attached.</summary>
    /// <param name="sink">The receiver.</param>
    internal void DetachCompactionTrace(ICompactionTraceSink sink) => Detach(_compactionTracepoints, sink);
}
