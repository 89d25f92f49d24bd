using MemSim.Reclaim;

namespace MemSim.Oracle.Tests.Reclaim;

/// <summary>Counts the wake-ups of kswapd that the allocator would cause during a replay, by the kernel's rule: not while it is awake, and only for a node with something to gain.</summary>
/// <remarks>When it is at work is taken from the recording, since what it finds on its lists is not recorded; when it is woken is decided here.</remarks>
internal sealed class KswapdWakeups : IReclaim, IPageTraceSink
{
    private readonly Machine _machine;
    private readonly bool[] _awake;
    private readonly bool[] _active;
    private readonly int[] _highest;

    public KswapdWakeups(Machine machine)
    {
        _machine = machine;
        int nodes = machine.Nodes[^1].Id + 1;
        _awake = new bool[nodes];
        _active = new bool[nodes];
        _highest = new int[nodes];
        machine.Reclaim = this;
        machine.AttachTrace(this);
    }

    /// <summary>Calls of <c>wakeup_kswapd()</c>.</summary>
    public long Calls { get; private set; }

    /// <summary>Of these, those that woke it (<c>mm_vmscan_wakeup_kswapd</c>).</summary>
    public long Woken { get; private set; }

    public void WakeKswapd(Zone zone, in ReclaimRequest request)
    {
        int node = zone.Node.Id;
        Calls++;
        Settle(zone.Node);
        bool boosted = zone.Node.Zones.Any(z => z.Index <= _highest[node] && z.WatermarkBoost != 0);
        if (!_awake[node] && (boosted || !Daemon(zone.Node).IsBalanced(request.Order, request.HighestZoneIndex)))
        {
            (_awake[node], _highest[node]) = (true, request.HighestZoneIndex);
            Woken++;
        }
    }

    public void MmPageFree(Cpu cpu, long pfn, int order) => Settle(_machine.ZoneOf((int)pfn)!.Node);

    public long DirectReclaim(in ReclaimRequest request) => 0;

    public CompactionOutcome Compact(in ReclaimRequest request, CompactionPriority priority) => CompactionOutcome.Skipped;

    public long ReclaimablePages(Zone zone) => 0;

    public bool OutOfMemory(in ReclaimRequest request) => false;

    public void MmPageAlloc(Cpu cpu, long pfn, int order, MigrateType migrateType, Gfp gfp) => Settle(cpu.Node);

    public void MmPageFreeBatched(Cpu cpu, long pfn)
    {
    }

    public void MmPageAllocZoneLocked(Cpu cpu, long pfn, int order, MigrateType migrateType, bool percpuRefill)
    {
    }

    public void MmPagePcpuDrain(Cpu cpu, long pfn, int order, MigrateType migrateType)
    {
    }

    public void MmPageAllocExtfrag(Cpu cpu, long pfn, int allocOrder, int fallbackOrder, MigrateType allocType, MigrateType fallbackType, bool changeOwnership)
    {
    }

    private Kswapd Daemon(Node node) => _machine.Vmscan.StateOf(node).Kswapd;

    private void Settle(Node node)
    {
        bool active = node.Zones.Any(z => (z.Flags & ZoneFlags.ReclaimActive) != 0);
        if (_active[node.Id] && !active)
        {
            // A round that did not balance the node is followed by another one without sleep.
            _awake[node.Id] &= !Daemon(node).IsBalanced(0, _highest[node.Id]);
        }

        _active[node.Id] = active;
    }
}
