using MemSim.Reclaim;

namespace MemSim.Recordings.Replay;

/// <summary>Counts the wake-ups of kswapd that the allocator would cause during a replay, by the kernel's rule: not while it is awake, and only for a node with something to gain.</summary>
/// <remarks>When it is at work is taken from the recording, since what it finds on its lists is not recorded; when it is woken is decided here.</remarks>
internal sealed class ReplayKswapdWakeups : IReclaim, IPageTraceSink
{
    private readonly Machine _machine;
    private readonly bool[] _awake;
    private readonly bool[] _active;
    private readonly int[] _highest;

    /// <summary>Counts on a machine that is about to replay a recording.</summary>
    public ReplayKswapdWakeups(Machine machine)
    {
        _machine = machine;
        int nodes = machine.Nodes[^1].Id + 1;
        _awake = new bool[nodes];
        _active = new bool[nodes];
        _highest = new int[nodes];
        machine.Reclaim.Policy = this;
        machine.Tracing.Attach(this);
    }

    /// <summary>Wake-ups (<c>mm_vmscan_wakeup_kswapd</c>).</summary>
    public long Woken { get; private set; }

    /// <inheritdoc/>
    public void WakeKswapd(Zone zone, in ReclaimRequest request)
    {
        NoReclaim.Instance.WakeKswapd(zone, request);
        int node = zone.Node.Id;
        Settle(zone.Node);
        if (!_awake[node] && (IsBoosted(zone.Node) || !Kswapd.IsBalanced(_machine, zone.Node, request.Order, request.HighestZoneIndex)))
        {
            (_awake[node], _highest[node]) = (true, request.HighestZoneIndex);
            Woken++;
        }
    }

    /// <inheritdoc/>
    public long DirectReclaim(in ReclaimRequest request) => 0;

    /// <inheritdoc/>
    public CompactionOutcome Compact(in ReclaimRequest request, CompactionPriority priority) => CompactionOutcome.Skipped;

    /// <inheritdoc/>
    public long ReclaimablePages(Zone zone) => 0;

    /// <inheritdoc/>
    public bool OutOfMemory(in ReclaimRequest request) => false;

    /// <inheritdoc/>
    public void MmPageAlloc(Cpu cpu, long pfn, int order, MigrateType migrateType, Gfp gfp) => Settle(cpu.Node);

    /// <inheritdoc/>
    public void MmPageFree(Cpu cpu, long pfn, int order) => Settle(_machine.ZoneTable.ZoneOf((int)pfn)!.Node);

    /// <inheritdoc/>
    public void MmPageFreeBatched(Cpu cpu, long pfn)
    {
    }

    /// <inheritdoc/>
    public void MmPageAllocZoneLocked(Cpu cpu, long pfn, int order, MigrateType migrateType, bool percpuRefill)
    {
    }

    /// <inheritdoc/>
    public void MmPagePcpuDrain(Cpu cpu, long pfn, int order, MigrateType migrateType)
    {
    }

    /// <inheritdoc/>
    public void MmPageAllocExtfrag(Cpu cpu, long pfn, int allocOrder, int fallbackOrder, MigrateType allocType, MigrateType fallbackType, bool changeOwnership)
    {
    }

    private static bool IsActive(Node node)
    {
        // Asked at every event: by index, so that nothing is allocated.
        for (int i = 0; i < node.Zones.Count; i++)
        {
            if ((node.Zones[i].Flags & ZoneFlags.ReclaimActive) != 0)
            {
                return true;
            }
        }

        return false;
    }

    private bool IsBoosted(Node node)
    {
        foreach (Zone zone in node.Zones)
        {
            if (zone.Index <= _highest[node.Id] && zone.WatermarkBoost != 0)
            {
                return true;
            }
        }

        return false;
    }

    private void Settle(Node node)
    {
        bool active = IsActive(node);
        if (_active[node.Id] && !active)
        {
            // A round that did not balance the node is followed by another one without sleep.
            _awake[node.Id] &= !Kswapd.IsBalanced(_machine, node, 0, _highest[node.Id]);
        }

        _active[node.Id] = active;
    }
}
