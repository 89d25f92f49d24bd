using MemSim.Lru;
using MemSim.Pages;

namespace MemSim.Tests.Reclaim;

/// <summary>Keeps reclaim's tracepoints as words.</summary>
internal sealed class RecordingSink : IReclaimTraceSink
{
    public List<string> Log { get; } = [];

    public List<LruShrinkInactiveEvent> Inactive { get; } = [];

    public List<LruIsolateEvent> Isolations { get; } = [];

    public int Woken { get; private set; }

    public int Slept { get; private set; }

    public int Direct { get; private set; }

    public void WakeupKswapd(Cpu cpu, int node, int highestZoneIndex, int order, Gfp gfp)
    {
        Woken++;
        Log.Add($"wakeup {order}");
    }

    public void KswapdWake(Cpu cpu, int node, int highestZoneIndex, int order) => Log.Add($"wake {order}");

    public void KswapdSleep(Cpu cpu, int node)
    {
        Slept++;
        Log.Add("sleep");
    }

    public void DirectReclaimBegin(Cpu cpu, int order, Gfp gfp)
    {
        Direct++;
        Log.Add($"direct {order}");
    }

    public void DirectReclaimEnd(Cpu cpu, long reclaimedPages) => Log.Add($"reclaimed {reclaimedPages}");

    public void LruIsolate(Cpu cpu, in LruIsolateEvent e) => Isolations.Add(e);

    public void LruShrinkInactive(Cpu cpu, in LruShrinkInactiveEvent e) => Inactive.Add(e);

    public void ShrinkSlabStart(Cpu cpu, in ShrinkSlabStartEvent e) => Log.Add($"shrink {e.Shrinker.Name} {e.TotalScan} of {e.Freeable} at {e.Priority}, deferred {e.Deferred}");

    public void ShrinkSlabEnd(Cpu cpu, in ShrinkSlabEndEvent e) => Log.Add($"shrunk {e.Shrinker.Name} {e.Freed}, deferred {e.NewScan}");

    public void Throttled(Cpu cpu, int node, ReclaimThrottleReason reason) => Log.Add($"throttled {reason}");
}

/// <summary>A page cache that keeps no books: nothing but the frames says what is in it.</summary>
internal sealed class FakeOwnersWithoutBooks : IPageOwners
{
    private readonly Machine _machine;
    private readonly uint _file;

    public FakeOwnersWithoutBooks(Machine machine)
    {
        _machine = machine;
        _file = MappingTable.Value(machine.Frames.Mappings.Add(this));
        machine.Lru.Owners = this;
        machine.Reclaim.Enable();
    }

    public void Read(Cpu cpu)
    {
        int pfn = cpu.AllocPage(Gfp.HighUserMovable).FrameIndex;
        _machine.Frames.Array[pfn].Mapping = _file;
        _machine.Lru.Add(cpu, pfn);
    }

    public PageReferences Referenced(Cpu cpu, int pfn) => default;

    public bool TryToUnmap(Cpu cpu, int pfn) => false;

    public bool AddToSwap(Cpu cpu, int pfn) => false;

    public PageOutOutcome PageOut(Cpu cpu, int pfn) => PageOutOutcome.Keep;

    public bool RemoveFromCache(Cpu cpu, int pfn)
    {
        ref PageFrame frame = ref _machine.Frames.Array[pfn];
        if (frame.RefCount != 2)
        {
            return false;
        }

        _ = _machine.Lru.EvictionShadow(cpu, pfn);
        frame.Mapping = 0;
        _machine.Frames.AddReferences(pfn, -1);
        return true;
    }

    public bool UnmapForMigration(Cpu cpu, int pfn) => false;

    public bool MoveMapping(Cpu cpu, int from, int to) => false;

    public void RestoreMappings(Cpu cpu, int from, int to)
    {
    }
}
