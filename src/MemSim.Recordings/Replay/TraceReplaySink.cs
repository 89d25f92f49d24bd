namespace MemSim.Recordings.Replay;

/// <summary>Counts what the machine's own tracepoints say during a replay.</summary>
internal sealed class TraceReplaySink : IPageTraceSink
{
    /// <summary>Drains remembered until the recording shows them; a bound for recordings that never do.</summary>
    private const int MostDrainsRemembered = 1 << 20;

    private readonly HashSet<int> _drains = [];

    public long ZoneLocked { get; private set; }

    public long PcpuDrain { get; private set; }

    public long Extfrag { get; private set; }

    /// <summary>Forgets a drain of a frame that the machine made by itself.</summary>
    /// <returns>Whether there was one.</returns>
    public bool ForgetDrain(int pfn) => _drains.Remove(pfn);

    public void MmPageAlloc(Cpu cpu, long pfn, int order, MigrateType migrateType, Gfp gfp)
    {
    }

    public void MmPageFree(Cpu cpu, long pfn, int order) => _drains.Remove((int)pfn);

    public void MmPageFreeBatched(Cpu cpu, long pfn)
    {
    }

    public void MmPageAllocZoneLocked(Cpu cpu, long pfn, int order, MigrateType migrateType, bool percpuRefill) => ZoneLocked++;

    public void MmPagePcpuDrain(Cpu cpu, long pfn, int order, MigrateType migrateType)
    {
        PcpuDrain++;
        if (_drains.Count < MostDrainsRemembered)
        {
            _drains.Add((int)pfn);
        }
    }

    public void MmPageAllocExtfrag(Cpu cpu, long pfn, int allocOrder, int fallbackOrder, MigrateType allocType, MigrateType fallbackType, bool changeOwnership) => Extfrag++;
}
