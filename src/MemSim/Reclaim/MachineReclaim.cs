using MemSim.Lru;
using MemSim.Reclaim;

namespace MemSim;

/// <summary>Reclaim of a machine: switching it on, shrinkers, figures. <see cref="Machine.Reclaim"/>.</summary>
public sealed class MachineReclaim
{
    private readonly Machine _machine;

    internal MachineReclaim(Machine machine)
    {
        _machine = machine;
        LruGen = new MultiGenerationalLru(machine);
        IdlePages = new IdlePageTracking(machine);
    }

    /// <summary>The multi-generational LRU: <c>/sys/kernel/mm/lru_gen</c>.</summary>
    public MultiGenerationalLru LruGen { get; }

    /// <summary>Idle page tracking: <c>/sys/kernel/mm/page_idle/bitmap</c>.</summary>
    public IdlePageTracking IdlePages { get; }

    /// <summary>Puts kswapd, direct reclaim and shrinkers to work: from now on the allocator's slow path reclaims instead of failing.</summary>
    /// <remarks>
    /// Happens by itself with the first process, file or shrinker. Without it a machine's memory belongs to whoever allocated it, and allocations below the
    /// watermarks behave as on a kernel that finds nothing to reclaim. Does nothing when <see cref="Policy"/> was set to something else.
    /// </remarks>
    public void Enable() => _machine.Hooks.EnableReclaim();

    /// <summary>The registered shrinkers, in the order in which they are asked.</summary>
    public IReadOnlyList<Shrinker> Shrinkers => _machine.Shrinkers.All;

    /// <summary>Registers a shrinker (<c>register_shrinker()</c>): it is asked for objects whenever memory is reclaimed.</summary>
    /// <param name="shrinker">The shrinker.</param>
    /// <exception cref="ArgumentException">It is registered already.</exception>
    public void RegisterShrinker(Shrinker shrinker) => _machine.Shrinkers.Register(shrinker);

    /// <summary>Takes a shrinker's registration back (<c>unregister_shrinker()</c>).</summary>
    /// <param name="shrinker">The shrinker.</param>
    /// <returns>Whether it was registered.</returns>
    public bool UnregisterShrinker(Shrinker shrinker)
    {
        ArgumentNullException.ThrowIfNull(shrinker);
        _machine.ThrowIfDisposed();
        return _machine.Shrinkers.Remove(shrinker);
    }

    /// <summary>Reclaim of a zone as textbooks show it.</summary>
    /// <param name="zone">A zone of this machine.</param>
    public ZoneReclaimInfo Info(Zone zone)
    {
        ArgumentNullException.ThrowIfNull(zone);
        _machine.ThrowIfDisposed();
        return Vmscan.InfoOf(_machine.ZoneTable.Owned(zone));
    }

    /// <summary>The pages on one of a node's LRU lists, the youngest first: reclaim looks at them from the end. Those still in a CPU's batch are not on it yet.</summary>
    /// <param name="node">A node of this machine.</param>
    /// <param name="list">Which list. <see cref="LruList.Unevictable"/> is none since 5.18: empty.</param>
    /// <returns>The first page of each block. By generation (6.12 and later) the two youngest generations count as active.</returns>
    /// <exception cref="ArgumentException">The node is another machine's.</exception>
    public IReadOnlyList<Page> LruPages(Node node, LruList list)
    {
        ArgumentNullException.ThrowIfNull(node);
        _machine.ThrowIfDisposed();
        return [.. _machine.Lru.Read(_machine.ZoneTable.Owned(node), list).Select(pfn => new Page(_machine, pfn))];
    }

    /// <summary>What the slow path asks for memory when a zone runs short; <see cref="NoReclaim"/> until reclaim is switched on or something else is plugged in.</summary>
    /// <exception cref="ArgumentNullException">The value is null: <see cref="NoReclaim"/> is what reclaims nothing.</exception>
    public IReclaim Policy
    {
        get => _machine.Hooks.Reclaimer;
        set => _machine.Hooks.Reclaimer = value;
    }

    /// <summary>How much time is lost because memory is short (<c>/proc/pressure/memory</c>).</summary>
    public PressureStall Pressure => _machine.Pressure;

    /// <summary>The tracepoints of reclaim, and who receives them.</summary>
    internal ReclaimTracepoints Tracepoints { get; } = new();

    /// <summary>Reclaim over the LRU lists; at work once <see cref="Enable"/> was called.</summary>
    internal PageReclaim Vmscan { get; set; } = null!;

    /// <summary>The tracepoints of reclaim when somebody listens, else null.</summary>
    internal ReclaimTracepoints? Trace => Tracepoints.IsIdle ? null : Tracepoints;
}

/// <content>Reclaim: kswapd, direct reclaim, shrinkers, pressure.</content>
public sealed partial class Machine
{
    /// <summary>Reclaim: kswapd, direct reclaim, shrinkers, pressure.</summary>
    public MachineReclaim Reclaim { get; }
}
