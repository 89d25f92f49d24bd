using MemSim.Reclaim;

namespace MemSim;

/// <content>Reclaim.</content>
public sealed partial class Machine
{
    /// <summary>How much time is lost because memory is short.</summary>
    internal PressureStall Pressure { get; private set; } = null!;

    internal ShrinkerList Shrinkers { get; private set; } = null!;

    /// <summary>Reclaim over the LRU lists; at work once <see cref="MachineReclaim.Enable"/> was called.</summary>
    internal PageReclaim Vmscan { get; private set; } = null!;

    /// <summary>The tracepoints of reclaim when somebody listens, else null.</summary>
    internal ReclaimTracepoints? ReclaimTrace { get; private set; }

    /// <summary>Attaches a receiver of reclaim's tracepoints.</summary>
    /// <param name="sink">The receiver.</param>
    internal void AttachReclaimTrace(IReclaimTraceSink sink)
    {
        ArgumentNullException.ThrowIfNull(sink);
        ThrowIfDisposed();
        (ReclaimTrace ??= new ReclaimTracepoints()).Attach(sink);
    }

    /// <summary>Detaches a receiver; nothing happens when it is not attached.</summary>
    /// <param name="sink">The receiver.</param>
    internal void DetachReclaimTrace(IReclaimTraceSink sink)
    {
        ArgumentNullException.ThrowIfNull(sink);
        if (ReclaimTrace?.Detach(sink) == true)
        {
            ReclaimTrace = null;
        }
    }
}
