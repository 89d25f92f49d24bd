using MemSim.Hardware;
using MemSim.Statistics;

namespace MemSim.PageAllocation;

/// <summary>Passes tracepoints on to whoever listens. Exists for hot paths only while somebody does.</summary>
internal sealed class Tracepoints : TraceFanOut<IPageTraceSink>, IPageTraceSink
{
    private PageOwnerTracker? _owners;

    public Tracepoints(PageOwnerTracker? owners)
    {
        if (owners is not null)
        {
            Track(owners);
        }
    }

    /// <summary>Has owners of pages recorded from now on, those of bulk allocations included.</summary>
    public void Track(PageOwnerTracker owners)
    {
        _owners = owners;
        Attach(owners);
    }

    /// <summary>A page of a bulk allocation: 6.1 has no tracepoint for it, but its owner is recorded.</summary>
    public void BulkPage(Cpu cpu, long pfn, MigrateType type, Gfp gfp) => _owners?.MmPageAlloc(cpu, pfn, 0, type, gfp);

    // The two of every page are passed on without a delegate in between.
    public void MmPageAlloc(Cpu cpu, long pfn, int order, MigrateType migrateType, Gfp gfp)
    {
        UserCodeScope scope = new(cpu);
        foreach (IPageTraceSink sink in Sinks)
        {
            try
            {
                sink.MmPageAlloc(cpu, pfn, order, migrateType, gfp);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }

        scope.Dispose();
    }

    public void MmPageFree(Cpu cpu, long pfn, int order)
    {
        UserCodeScope scope = new(cpu);
        foreach (IPageTraceSink sink in Sinks)
        {
            try
            {
                sink.MmPageFree(cpu, pfn, order);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }

        scope.Dispose();
    }

    public void MmPageFreeBatched(Cpu cpu, long pfn) => Pass(cpu, in pfn, static (sink, cpu, in pfn) => sink.MmPageFreeBatched(cpu, pfn));

    public void MmPageAllocZoneLocked(Cpu cpu, long pfn, int order, MigrateType migrateType, bool percpuRefill) =>
        Pass(cpu, (pfn, order, migrateType, percpuRefill), static (sink, cpu, in e) => sink.MmPageAllocZoneLocked(cpu, e.pfn, e.order, e.migrateType, e.percpuRefill));

    public void MmPagePcpuDrain(Cpu cpu, long pfn, int order, MigrateType migrateType) =>
        Pass(cpu, (pfn, order, migrateType), static (sink, cpu, in e) => sink.MmPagePcpuDrain(cpu, e.pfn, e.order, e.migrateType));

    public void MmPageAllocExtfrag(Cpu cpu, long pfn, int allocOrder, int fallbackOrder, MigrateType allocType, MigrateType fallbackType, bool changeOwnership) =>
        Pass(cpu, (pfn, allocOrder, fallbackOrder, allocType, fallbackType, changeOwnership), static (sink, cpu, in e) => sink.MmPageAllocExtfrag(cpu, e.pfn, e.allocOrder, e.fallbackOrder, e.allocType, e.fallbackType, e.changeOwnership));
}
