using System.Diagnostics;
using MemSim.Compaction;
using MemSim.Diagnostics;
using MemSim.Lru;
using MemSim.Shrinkers;

namespace MemSim.Reclaim;

/// <summary>Reclaim: direct, by kswapd and of one node, over the LRU lists and the shrinkers (<c>mm/vmscan.c</c>).</summary>
/// <remarks>Which pages of the lists go is the business of an <see cref="IReclaimEngine"/>; when, for whom, and what is done to them, of this.</remarks>
internal sealed partial class PageReclaim : IReclaim, IPageOut
{
    /// <summary>Rounds without a page after which kswapd gives a node up (<c>MAX_RECLAIM_RETRIES</c>).</summary>
    public const int MaxFailures = 16;

    private readonly Machine _machine;
    private readonly LruManager _lru;
    private readonly NodeReclaimState[] _nodes;
    // Guards itself: what passes over the lists use is lent.
    private readonly Stack<ScanControl> _controls = new();
    private readonly ZoneScan[] _zoneScans;
    private readonly Zone[] _zones;
    private readonly ListEngine _byLists;
    private readonly int _hugeOrder;

    public PageReclaim(Machine machine)
    {
        _machine = machine;
        _lru = machine.Lru;
        _hugeOrder = Hardware.PteLayout.HugeOrderOf(machine.Architecture.Architecture);
        _zones = [.. machine.Zones];
        Counts = new ReclaimCounts(machine);
        _slower = new SlowerNodes(machine);
        _byLists = new ListEngine(machine, this);
        Generations = new GenerationEngine(machine, this);
        _zoneScans = new ZoneScan[machine.Zones.Count];
        _nodes = new NodeReclaimState[machine.Nodes.Count];
        for (int i = 0; i < _nodes.Length; i++)
        {
            Node node = machine.Nodes[i];
            _nodes[i] = new NodeReclaimState(node, _lru.Of(node), new Kswapd(machine, this, node));
        }
    }

    /// <summary>How pages that go are found now.</summary>
    public IReclaimEngine Engine => _lru.ByGeneration ? Generations : _byLists;

    /// <summary>Reclaim by generations; at work where <see cref="LruManager.ByGeneration"/> says so.</summary>
    public GenerationEngine Generations { get; }

    /// <summary>Counts what is looked at and freed.</summary>
    public ReclaimCounts Counts { get; }

    /// <summary>The shrinkers.</summary>
    public ShrinkerList Shrinkers => _machine.Shrinkers;

    /// <summary>Compaction, when there is one.</summary>
    public ICompactor? Compactor { get; set; }

    /// <summary>The OOM killer, when there is one.</summary>
    public IOomKiller? OomKiller { get; set; }

    /// <summary>Tells the writeback threads that memory is full of dirty pages (<c>wakeup_flusher_threads()</c>).</summary>
    public Action<Cpu>? WakeFlushers { get; set; }

    /// <summary>What reclaim's work costs on the simulated clock.</summary>
    public ReclaimCosts Costs { get; set; } = new();

    /// <summary>Pages that were looked at on inactive lists, a huge one counted once: the work it makes.</summary>
    public long EntriesScanned { get; private set; }

    /// <summary>Counts such work.</summary>
    internal void CountEntries(long entries) => EntriesScanned += entries;

    /// <summary>Passes over a node's lists and shrinkers.</summary>
    public long Passes { get; private set; }

    /// <inheritdoc/>
    public void WakeKswapd(Zone zone, in ReclaimRequest request)
    {
        zone.Node.KswapdWakeups++;
        if (zone.ManagedPages != 0)
        {
            StateOf(zone.Node).Kswapd.WakeFor(request);
        }
    }

    /// <inheritdoc/>
    public CompactionOutcome Compact(in ReclaimRequest request, CompactionPriority priority)
    {
        if (Compactor is not { } compactor)
        {
            return CompactionOutcome.Skipped;
        }

        using (request.Cpu.Context.MemAlloc())
        {
            return compactor.TryToCompact(request, priority);
        }
    }

    /// <inheritdoc/>
    public long ReclaimablePages(Zone zone)
    {
        ZoneCounters counters = zone.Counters;
        long pages = counters.InactiveFile + counters.ActiveFile;
        pages += CanReclaimAnonOf(zone.Node) ? counters.InactiveAnon + counters.ActiveAnon : 0;

        // What is free in a zone with nothing on its lists counts where the kernel does not want it passed over.
        return pages == 0 && _machine.Personality.Reclaim.EmptyZonesCountFree ? zone.TrueFreePages : pages;
    }

    /// <inheritdoc/>
    public int TakeCaptured(Cpu cpu) => Compactor?.TakeCaptured(cpu) ?? -1;

    /// <inheritdoc/>
    public void AfterCompaction(Cpu cpu, int order, int pfn) => Compactor?.AfterDirect(cpu, order, pfn);

    /// <inheritdoc/>
    public bool OutOfMemory(in ReclaimRequest request)
    {
        _machine.Background.SharedTime?.ReportOutOfMemory(request.Cpu);
        return OomKiller?.OutOfMemory(request) ?? false;
    }

    /// <summary>Whether anonymous pages can go anywhere (<c>can_reclaim_anon_pages()</c>).</summary>
    internal bool CanReclaimAnon => _machine.SystemFigures.SwapFreePages > 0;

    internal NodeReclaimState StateOf(Node node)
    {
        foreach (NodeReclaimState state in _nodes)
        {
            if (state.Node == node)
            {
                return state;
            }
        }

        throw new ArgumentException($"{node} belongs to another machine", nameof(node));
    }

    /// <summary>The textbook's view of a zone: its share of the last scan.</summary>
    public ZoneReclaimInfo InfoOf(Zone zone)
    {
        ref ZoneScan scan = ref _zoneScans[zone.Id];
        long reclaimable = ReclaimablePages(zone);
        return new ZoneReclaimInfo(scan.Active, scan.Inactive, zone.PagesScanned, zone.PagesScanned != 0 && zone.PagesScanned >= reclaimable * 6, scan.Priority, scan.LowestPriority);
    }

    internal ScanControl Rent()
    {
        lock (_controls)
        {
            return _controls.TryPop(out ScanControl? control) ? control : new ScanControl();
        }
    }

    internal void Return(ScanControl control)
    {
        Debug.Assert(control.Demoted.Count == 0, "who is through has no page in hand");
        lock (_controls)
        {
            _controls.Push(control);
        }
    }

    /// <summary>Lets reclaim wait: time passes on the simulated clock. Background threads that were woken have run already, or wait for <see cref="MachineBackground.Run"/>.</summary>
    internal void Throttle(Cpu cpu, Node node, ReclaimThrottleReason reason)
    {
        _machine.Reclaim.Trace?.Throttled(cpu, node.Id, reason);
        if (_machine.Background.SharedTime is { } time)
        {
            time.Throttle(cpu, node, reason);
            return;
        }

        if (reason != ReclaimThrottleReason.Isolated)
        {
            _machine.Files.LetWritesEnd(cpu);
        }

        _machine.Pressure.Stall(Costs.ThrottleNanoseconds, full: _machine.Cpus.Count == 1);
    }

    /// <summary>Says what reclaim could not say of a machine at rest.</summary>
    public void Verify()
    {
        foreach (NodeReclaimState state in _nodes)
        {
            foreach (Zone zone in state.Node.Zones)
            {
                if ((zone.Flags & ZoneFlags.ReclaimActive) != 0 && !state.Kswapd.IsRunning)
                {
                    BugReporter.Corrupt($"{zone}: marked as being reclaimed although kswapd sleeps");
                }
            }

            if (!state.Kswapd.IsRunning && (state.Node.Counters.IsolatedAnon != 0 || state.Node.Counters.IsolatedFile != 0))
            {
                BugReporter.Corrupt($"{state.Node}: {state.Node.Counters.IsolatedAnon} anonymous and {state.Node.Counters.IsolatedFile} file pages are counted as isolated although nobody reclaims");
            }
        }
    }

    /// <summary>What the last scan of a zone wanted.</summary>
    private struct ZoneScan
    {
        public long Active;
        public long Inactive;
        public int Priority;
        public int LowestPriority;
    }
}
