using MemSim.Statistics;

namespace MemSim;

/// <content>The one way in for receivers of tracepoints.</content>
public sealed partial class Machine
{
    internal void Attach<TSink>(TraceFanOut<TSink> tracepoints, TSink sink)
        where TSink : class
    {
        ArgumentNullException.ThrowIfNull(sink);
        ThrowIfDisposed();
        tracepoints.Attach(sink);
    }

    /// <summary>As <see cref="Attach"/>, but a machine that is gone may be left, too.</summary>
    internal static void Detach<TSink>(TraceFanOut<TSink> tracepoints, TSink sink)
        where TSink : class
    {
        ArgumentNullException.ThrowIfNull(sink);
        tracepoints.Detach(sink);
    }
}
