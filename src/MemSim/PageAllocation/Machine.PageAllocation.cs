using MemSim.Hardware;
using MemSim.PageAllocation;

namespace MemSim;

/// <content>The page allocator.</content>
public sealed partial class Machine
{
    private readonly Tracepoints _tracepoints;
    private readonly bool _refusesIllegalFlags;
    private IReclaim _reclaim = NoReclaim.Instance;
    private FaultInjector? _faultInjector;

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

    internal PageOwnerTracker? OwnerTracker { get; }

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

    private void UpdateTrace()
    {
        Trace = _tracepoints.IsIdle ? null : _tracepoints;
        UpdateModes();
    }

    /// <summary>Something changed that decides which form of the hot paths runs.</summary>
    private void UpdateModes()
    {
        UsualMode = _parallel || ZeroesMemory || Trace is not null || Charges is not null ? CpuMode.Observed : Pages.LimitsMove ? CpuMode.Moving : CpuMode.Plain;
        ChecksEveryRequest = _faultInjector is not null;
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

    internal FaultInjector? FaultInjector => _faultInjector;

    /// <summary>Makes allocations of pages and of kernel objects of address spaces fail (<c>fail_page_alloc</c>).</summary>
    /// <param name="nth">The first to fail, counted from 1; 0 stops it.</param>
    /// <param name="times">How many fail from there on.</param>
    /// <returns>What counts and decides.</returns>
    internal FaultInjector? FailAllocations(long nth, long times = 1)
    {
        _faultInjector = nth == 0 ? null : new FaultInjector(nth, times);
        UpdateModes();

        return _faultInjector;
    }
}
