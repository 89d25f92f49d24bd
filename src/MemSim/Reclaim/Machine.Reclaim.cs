using MemSim.Reclaim;

namespace MemSim;

/// <content>Reclaim.</content>
public sealed partial class Machine
{
    private readonly ReclaimTracepoints _reclaimTracepoints = new();

    /// <summary>Reclaim over the LRU lists; at work once <see cref="MachineReclaim.Enable"/> was called.</summary>
    internal PageReclaim Vmscan { get; private set; } = null!;

    /// <summary>The tracepoints of reclaim when somebody listens, else null.</summary>
    internal ReclaimTracepoints? ReclaimTrace => _reclaimTracepoints.IsIdle ? null : _reclaimTracepoints;

    /// <summary>Attaches a receiver of reclaim's tracepoints.</summary>
    /// <param name="sink">The receiver.</param>
    internal void AttachReclaimTrace(IReclaimTraceSink sink) => Attach(_reclaimTracepoints, sink);

    /// <summary>Detaches a receiver; nothing happens when it is not attached.</summary>
    /// <param name="sink">The receiver.</param>
    internal void DetachReclaimTrace(IReclaimTraceSink sink) => Detach(_reclaimTracepoints, sink);
}
