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

    internal PageAllocator Pages { get; }

    internal bool RefusesIllegalFlags => _refusesIllegalFlags;

    internal PageOwnerTracker? OwnerTracker { get; }

    /// <summary>The tracepoints when somebody listens, else null: what hot paths test.</summary>
    internal Tracepoints? Trace { get; private set; }

    /// <summary>Whether every request must take the checked way in.</summary>
    internal bool NeedsAttention => _disposed || _faultInjector is not null;

    /// <summary>Whether free lists are kept apart by migrate type; off on machines with fewer than five page blocks.</summary>
    internal bool MobilityGrouping { get; }

    internal int WatermarkBoostFactor { get; set; }

    /// <summary>Attaches a receiver of tracepoints.</summary>
    /// <param name="sink">The receiver.</param>
    internal void AttachTrace(IPageTraceSink sink)
    {
        ArgumentNullException.ThrowIfNull(sink);
        _tracepoints.Attach(sink);
        UpdateTrace();
    }

    /// <summary>Detaches a receiver of tracepoints; nothing happens when it is not attached.</summary>
    /// <param name="sink">The receiver.</param>
    internal void DetachTrace(IPageTraceSink sink)
    {
        ArgumentNullException.ThrowIfNull(sink);
        _tracepoints.Detach(sink);
        UpdateTrace();
    }

    private void UpdateTrace()
    {
        Trace = _tracepoints.IsIdle ? null : _tracepoints;
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
        foreach (Cpu cpu in _cpus)
        {
            cpu.UpdateMode();
        }

        return _faultInjector;
    }

    /// <summary>A copy of <c>zone_reclaim_mode</c> for the allocator.</summary>
    internal int ZoneReclaimMode { get; set; }

    /// <summary>Whether <c>vm.defrag_mode</c> is on: nobody mixes types in page blocks.</summary>
    internal bool DefragMode { get; set; }
}
