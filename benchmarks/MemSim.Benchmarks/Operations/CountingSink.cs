namespace MemSim.Benchmarks.Operations;

/// <summary>The cheapest receiver of tracepoints that does something: what having one attached costs at least.</summary>
internal sealed class CountingSink : IPageTraceSink
{
    public long Allocated { get; private set; }

    public long Freed { get; private set; }

    public long Other { get; private set; }

    public void MmPageAlloc(Cpu cpu, long pfn, int order, MigrateType migrateType, Gfp gfp) => Allocated++;

    public void MmPageFree(Cpu cpu, long pfn, int order) => Freed++;

    public void MmPageFreeBatched(Cpu cpu, long pfn) => Other++;

    public void MmPageAllocZoneLocked(Cpu cpu, long pfn, int order, MigrateType migrateType, bool percpuRefill) => Other++;

    public void MmPagePcpuDrain(Cpu cpu, long pfn, int order, MigrateType migrateType) => Other++;

    public void MmPageAllocExtfrag(Cpu cpu, long pfn, int allocOrder, int fallbackOrder, MigrateType allocType, MigrateType fallbackType, bool changeOwnership) => Other++;
}
