namespace MemSim.Recordings.Replay;

/// <summary>Counts what the machine's own tracepoints say during a replay.</summary>
internal sealed class TraceReplaySink : IPageTraceSink
{
    /// <summary>Drains remembered until the recording shows them; a bound for recordings that never do.</summary>
    private const int MostDrainsRemembered = 1 << 20;

    private readonly FrameMap<bool> _drains = new(false);
    private int _drainCount;

    public long ZoneLocked { get; private set; }

    public long PcpuDrain { get; private set; }

    public long Extfrag { get; private set; }

    /// <summary>Forgets a drain of a frame that the machine made by itself.</summary>
    /// <returns>Whether there was one.</returns>
    public bool ForgetDrain(int pfn)
    {
        if (!_drains[pfn])
        {
            return false;
        }

        _drains[pfn] = false;
        _drainCount--;
        return true;
    }

    public void MmPageAlloc(Cpu cpu, long pfn, int order, MigrateType migrateType, Gfp gfp)
    {
    }

    public void MmPageFree(Cpu cpu, long pfn, int order) => ForgetDrain((int)pfn);

    public void MmPageFreeBatched(Cpu cpu, long pfn)
    {
    }

    public void MmPageAllocZoneLocked(Cpu cpu, long pfn, int order, MigrateType migrateType, bool percpuRefill) => ZoneLocked++;

    public void MmPagePcpuDrain(Cpu cpu, long pfn, int order, MigrateType migrateType)
    {
        PcpuDrain++;
        ref bool drained = ref _drains.At((int)pfn);
        if (!drained && _drainCount < MostDrainsRemembered)
        {
            drained = true;
            _drainCount++;
        }
    }

    public void MmPageAllocExtfrag(Cpu cpu, long pfn, int allocOrder, int fallbackOrder, MigrateType allocType, MigrateType fallbackType, bool changeOwnership) => Extfrag++;
}
