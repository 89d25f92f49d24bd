namespace MemSim.Observability;

/// <summary>Passes tracepoints on to whoever listens. Exists for hot paths only while somebody does.</summary>
internal sealed class Tracepoints : IPageTraceSink
{
    private readonly PageOwnerTracker? _owners;
    private IPageTraceSink[] _sinks = [];

    public Tracepoints(PageOwnerTracker? owners)
    {
        _owners = owners;
        _sinks = owners is null ? [] : [owners];
    }

    public bool IsIdle => _sinks.Length == 0;

    public void Attach(IPageTraceSink sink) => _sinks = [.. _sinks, sink];

    public void Detach(IPageTraceSink sink) => _sinks = [.. _sinks.Where(s => !ReferenceEquals(s, sink))];

    /// <summary>A page of a bulk allocation: 6.1 has no tracepoint for it, but its owner is recorded.</summary>
    public void BulkPage(Cpu cpu, long pfn, MigrateType type, Gfp gfp) => _owners?.MmPageAlloc(cpu, pfn, 0, type, gfp);

    public void MmPageAlloc(Cpu cpu, long pfn, int order, MigrateType migrateType, Gfp gfp)
    {
        foreach (IPageTraceSink sink in _sinks)
        {
            sink.MmPageAlloc(cpu, pfn, order, migrateType, gfp);
        }
    }

    public void MmPageFree(Cpu cpu, long pfn, int order)
    {
        foreach (IPageTraceSink sink in _sinks)
        {
            sink.MmPageFree(cpu, pfn, order);
        }
    }

    public void MmPageFreeBatched(Cpu cpu, long pfn)
    {
        foreach (IPageTraceSink sink in _sinks)
        {
            sink.MmPageFreeBatched(cpu, pfn);
        }
    }

    public void MmPageAllocZoneLocked(Cpu cpu, long pfn, int order, MigrateType migrateType, bool percpuRefill)
    {
        foreach (IPageTraceSink sink in _sinks)
        {
            sink.MmPageAllocZoneLocked(cpu, pfn, order, migrateType, percpuRefill);
        }
    }

    public void MmPagePcpuDrain(Cpu cpu, long pfn, int order, MigrateType migrateType)
    {
        foreach (IPageTraceSink sink in _sinks)
        {
            sink.MmPagePcpuDrain(cpu, pfn, order, migrateType);
        }
    }

    public void MmPageAllocExtfrag(Cpu cpu, long pfn, int allocOrder, int fallbackOrder, MigrateType allocType, MigrateType fallbackType, bool changeOwnership)
    {
        foreach (IPageTraceSink sink in _sinks)
        {
            sink.MmPageAllocExtfrag(cpu, pfn, allocOrder, fallbackOrder, allocType, fallbackType, changeOwnership);
        }
    }
}
