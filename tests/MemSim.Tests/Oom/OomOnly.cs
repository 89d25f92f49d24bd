namespace MemSim.Tests.Oom;

/// <summary>A machine's reclaim that finds nothing to reclaim and leaves everything to the OOM killer.</summary>
internal sealed class OomOnly(Machine machine) : IReclaim
{
    /// <summary>How often the killer was asked.</summary>
    public int Asked { get; private set; }

    public void WakeKswapd(Zone zone, in ReclaimRequest request)
    {
    }

    public long DirectReclaim(in ReclaimRequest request) => 0;

    public CompactionOutcome Compact(in ReclaimRequest request, CompactionPriority priority) => CompactionOutcome.Skipped;

    public long ReclaimablePages(Zone zone) => 0;

    public bool OutOfMemory(in ReclaimRequest request)
    {
        Asked++;
        return machine.Oom.Killer.OutOfMemory(request);
    }
}
