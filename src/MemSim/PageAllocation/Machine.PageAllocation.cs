using MemSim.Hardware;
using MemSim.PageAllocation;

namespace MemSim;

/// <content>The page allocator.</content>
public sealed partial class Machine
{
    private readonly Tracepoints _tracepoints;
    private readonly bool _refusesIllegalFlags;
    private IReclaim _reclaim = NoReclaim.Instance;

    /// <summary>What the slow path asks for memory when a zone runs short; <see cref="NoReclaim"/> until something better is plugged in.</summary>
    /// <exception cref="ArgumentNullException">The value is null: <see cref="NoReclaim"/> is what reclaims nothing.</exception>
    internal IReclaim Reclaimer
    {
        get => _reclaim;
        set
        {
            ArgumentNullException.ThrowIfNull(value);
            ThrowIfDisposed();
            _reclaim = value;
        }
    }

    /// <summary>The machine's own reclaim: at work once <see cref="MachineReclaim.Enable"/> was called.</summary>
    internal IReclaim OwnReclaim { get; private set; } = NoReclaim.Instance;

    /// <summary>As <see cref="MachineReclaim.Enable"/>.</summary>
    internal void EnableReclaim()
    {
        ThrowIfDisposed();
        if (Reclaimer is NoReclaim)
        {
            Reclaimer = OwnReclaim;
        }
    }

    internal PageAllocator Pages { get; }

    /// <summary>Who writes down what became of requests that failed.</summary>
    internal IFailureReports FailureReports { get; }

    internal bool RefusesIllegalFlags => _refusesIllegalFlags;

    internal PageOwnerTracker? OwnerTracker { get; private set; }

    /// <summary>The tracepoints when somebody listens, else null: what hot paths test.</summary>
    internal Tracepoints? Trace { get; private set; }

    /// <summary>Whether free lists are kept apart by migrate type; off on machines with fewer than five page blocks.</summary>
    internal bool MobilityGrouping { get; }

    /// <summary>Attaches a receiver of tracepoints.</summary>
    /// <param name="sink">The receiver.</param>
    internal void AttachTrace(IPageTraceSink sink) => Attach(_tracepoints, sink);

    /// <summary>Detaches a receiver of tracepoints; nothing happens when it is not attached.</summary>
    /// <param name="sink">The receiver.</param>
    internal void DetachTrace(IPageTraceSink sink) => Detach(_tracepoints, sink);

    /// <summary>Has owners of pages recorded from now on, as <c>page_owner=on</c> does from the boot on.</summary>
    internal void TrackPageOwners()
    {
        if (OwnerTracker is null)
        {
            OwnerTracker = new PageOwnerTracker(this);
            _tracepoints.Track(OwnerTracker);
            UpdateTrace();
        }
    }

    private void UpdateTrace()
    {
        Trace = _tracepoints.IsIdle ? null : _tracepoints;
        UpdateModes();
    }

    /// <summary>Something changed that decides which form of the hot paths runs.</summary>
    internal void UpdateModes()
    {
        UsualMode = _parallel || ZeroesMemory || Trace is not null || Charges is not null ? CpuMode.Observed : Pages.LimitsMove ? CpuMode.Moving : CpuMode.Plain;
        ChecksEveryRequest = FaultInjector.IsArmed;
        foreach (Cpu cpu in _cpus)
        {
            cpu.UpdateMode();
        }
    }

    /// <summary>Gives the pages in all CPUs' lists back to the free lists (<c>drain_all_pages()</c>).</summary>
    internal void DrainAllPages()
    {
        ThrowIfDisposed();
        foreach (Cpu cpu in _cpus)
        {
            cpu.Pages.DrainLocalPages();
        }
    }

    /// <summary>What makes allocations fail on purpose.</summary>
    internal FaultInjector FaultInjector { get; }
}
