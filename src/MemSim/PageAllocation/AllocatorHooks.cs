using MemSim.Hardware;

namespace MemSim.PageAllocation;

/// <summary>
/// What others hang into the page allocator: who reclaims, who is charged, who listens, what fails on purpose, what is zeroed. Each decides, too, which form of the hot paths runs.
/// <c>Machine.Hooks</c>.
/// </summary>
internal sealed class AllocatorHooks
{
    private readonly Machine _machine;

    public AllocatorHooks(Machine machine, IFailureReports reports, PageOwnerTracker? owners)
    {
        _machine = machine;
        FaultInjector = new FaultInjector(machine);
        FailureReports = reports;
        OwnerTracker = owners;
        Tracepoints = new Tracepoints(owners) { Changed = UpdateTrace };
        Trace = Tracepoints.IsIdle ? null : Tracepoints;
    }

    /// <summary>The tracepoints of pages and who receives them.</summary>
    public Tracepoints Tracepoints { get; }

    /// <summary>Who pays for frames; null while nobody but the root cgroup does.</summary>
    public IFrameCharges? Charges { get; private set; }

    /// <summary>From now on frames are charged.</summary>
    public void BeginCharging(IFrameCharges charges)
    {
        Charges = charges;
        UpdateModes();
    }

    /// <summary>Whether pages and objects are zeroed when they are allocated (<c>init_on_alloc=1</c>).</summary>
    public bool ZeroesOnAlloc { get; private set; }

    /// <summary>Whether pages and objects are zeroed when they are freed (<c>init_on_free=1</c>).</summary>
    public bool ZeroesOnFree { get; private set; }

    /// <summary>Whether what leaves or enters the allocators must be looked at for its contents: their shortest paths stay closed then.</summary>
    public bool ZeroesMemory => ZeroesOnAlloc || ZeroesOnFree;

    /// <summary>Takes over what the command line says; without contents there is nothing to zero.</summary>
    public void InitMemory(bool zeroesOnAlloc, bool zeroesOnFree)
    {
        ZeroesOnAlloc = zeroesOnAlloc && _machine.Ram.HasContents;
        ZeroesOnFree = zeroesOnFree && _machine.Ram.HasContents;
        UpdateModes();
    }

    private IReclaim _reclaim = NoReclaim.Instance;

    /// <summary>What the slow path asks for memory when a zone runs short; <see cref="NoReclaim"/> until something better is plugged in.</summary>
    /// <exception cref="ArgumentNullException">The value is null: <see cref="NoReclaim"/> is what reclaims nothing.</exception>
    public IReclaim Reclaimer
    {
        get => _reclaim;
        set
        {
            ArgumentNullException.ThrowIfNull(value);
            _machine.ThrowIfDisposed();
            _reclaim = value;
        }
    }

    /// <summary>The machine's own reclaim: at work once <see cref="MachineReclaim.Enable"/> was called.</summary>
    public IReclaim OwnReclaim { get; set; } = NoReclaim.Instance;

    /// <summary>As <see cref="MachineReclaim.Enable"/>.</summary>
    public void EnableReclaim()
    {
        _machine.ThrowIfDisposed();
        if (Reclaimer is NoReclaim)
        {
            Reclaimer = OwnReclaim;
        }
    }

    /// <summary>Who writes down what became of requests that failed.</summary>
    public IFailureReports FailureReports { get; }

    public PageOwnerTracker? OwnerTracker { get; private set; }

    /// <summary>The tracepoints when somebody listens, else null: what hot paths test.</summary>
    public Tracepoints? Trace { get; private set; }

    /// <summary>Whether somebody wants to know of each page that is freed, or it must be zeroed.</summary>
    public bool WatchesFrees => Trace is not null || Charges is not null || ZeroesOnFree;

    /// <summary>Has owners of pages recorded from now on, as <c>page_owner=on</c> does from the boot on.</summary>
    public void TrackPageOwners()
    {
        if (OwnerTracker is null)
        {
            OwnerTracker = new PageOwnerTracker(_machine);
            Tracepoints.Track(OwnerTracker);
            UpdateTrace();
        }
    }

    private void UpdateTrace()
    {
        Trace = Tracepoints.IsIdle ? null : Tracepoints;
        UpdateModes();
    }

    /// <summary>Something changed that decides which form of the hot paths runs.</summary>
    public void UpdateModes() =>
        _machine.CpuTable.UpdateModes(
            ZeroesMemory || Trace is not null || Charges is not null || _machine.Frames.Poisoned.Count != 0 ? CpuMode.Observed
            : _machine.IsParallel ? CpuMode.Parallel
            : _machine.Pages.LimitsMove ? CpuMode.Moving
            : CpuMode.Plain,
            FaultInjector.IsArmed);

    /// <summary>What makes allocations fail on purpose.</summary>
    public FaultInjector FaultInjector { get; }
}
