using MemSim.Reclaim;

namespace MemSim;

/// <content>Reclaim.</content>
public sealed partial class Machine
{
    /// <summary>How much time is lost because memory is short.</summary>
    public PressureStall Pressure { get; private set; } = null!;

    /// <summary>The registered shrinkers, in the order in which they are asked.</summary>
    public IReadOnlyList<Shrinker> RegisteredShrinkers => Shrinkers.All;

    internal ShrinkerList Shrinkers { get; private set; } = null!;

    /// <summary>Reclaim over the LRU lists; at work once <see cref="EnableReclaim"/> was called.</summary>
    internal PageReclaim Vmscan { get; private set; } = null!;

    /// <summary>The tracepoints of reclaim when somebody listens, else null.</summary>
    internal ReclaimTracepoints? ReclaimTrace { get; private set; }

    /// <summary>Puts kswapd, direct reclaim and shrinkers to work: from now on the allocator's slow path reclaims instead of failing.</summary>
    /// <remarks>
    /// Happens by itself with the first process, file or shrinker. Without it a machine's memory belongs to whoever allocated it, and allocations below the
    /// watermarks behave as on a kernel that finds nothing to reclaim. Does nothing when <see cref="Reclaim"/> was set to something else.
    /// </remarks>
    public void EnableReclaim()
    {
        ThrowIfDisposed();
        if (Reclaim is NoReclaim)
        {
            Reclaim = Vmscan;
        }
    }

    /// <summary>Registers a shrinker (<c>register_shrinker()</c>): it is asked for objects whenever memory is reclaimed.</summary>
    /// <param name="shrinker">The shrinker.</param>
    /// <exception cref="ArgumentException">It is registered already.</exception>
    public void RegisterShrinker(Shrinker shrinker)
    {
        ArgumentNullException.ThrowIfNull(shrinker);
        ThrowIfDisposed();
        Shrinkers.Add(shrinker);
        EnableReclaim();
    }

    /// <summary>Takes a shrinker's registration back (<c>unregister_shrinker()</c>).</summary>
    /// <param name="shrinker">The shrinker.</param>
    /// <returns>Whether it was registered.</returns>
    public bool UnregisterShrinker(Shrinker shrinker)
    {
        ArgumentNullException.ThrowIfNull(shrinker);
        ThrowIfDisposed();
        return Shrinkers.Remove(shrinker);
    }

    /// <summary>Reclaim of a zone as textbooks show it.</summary>
    /// <param name="zone">A zone of this machine.</param>
    public ZoneReclaimInfo ReclaimInfo(Zone zone)
    {
        ArgumentNullException.ThrowIfNull(zone);
        ThrowIfDisposed();
        return Vmscan.InfoOf(Owned(zone));
    }

    /// <summary>Attaches a receiver of reclaim's tracepoints.</summary>
    /// <param name="sink">The receiver.</param>
    public void AttachReclaimTrace(IReclaimTraceSink sink)
    {
        ArgumentNullException.ThrowIfNull(sink);
        ThrowIfDisposed();
        (ReclaimTrace ??= new ReclaimTracepoints()).Attach(sink);
    }

    /// <summary>Detaches a receiver; nothing happens when it is not attached.</summary>
    /// <param name="sink">The receiver.</param>
    public void DetachReclaimTrace(IReclaimTraceSink sink)
    {
        ArgumentNullException.ThrowIfNull(sink);
        if (ReclaimTrace?.Detach(sink) == true)
        {
            ReclaimTrace = null;
        }
    }
}
