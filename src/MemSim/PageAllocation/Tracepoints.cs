using MemSim.Diagnostics;

namespace MemSim.PageAllocation;

/// <summary>Passes tracepoints on to whoever listens. Exists for hot paths only while somebody does.</summary>
internal sealed class Tracepoints : TraceFanOut<IPageTraceSink>, IPageTraceSink
{
    private readonly PageOwnerTracker? _owners;

    public Tracepoints(PageOwnerTracker? owners)
    {
        _owners = owners;
        if (owners is not null)
        {
            Attach(owners);
        }
    }

    /// <summary>A page of a bulk allocation: 6.1 has no tracepoint for it, but its owner is recorded.</summary>
    public void BulkPage(Cpu cpu, long pfn, MigrateType type, Gfp gfp) => _owners?.MmPageAlloc(cpu, pfn, 0, type, gfp);

    public void MmPageAlloc(Cpu cpu, long pfn, int order, MigrateType migrateType, Gfp gfp)
    {
        foreach (IPageTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MmPageAlloc(cpu, pfn, order, migrateType, gfp);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void MmPageFree(Cpu cpu, long pfn, int order)
    {
        foreach (IPageTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MmPageFree(cpu, pfn, order);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void MmPageFreeBatched(Cpu cpu, long pfn)
    {
        foreach (IPageTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MmPageFreeBatched(cpu, pfn);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void MmPageAllocZoneLocked(Cpu cpu, long pfn, int order, MigrateType migrateType, bool percpuRefill)
    {
        foreach (IPageTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MmPageAllocZoneLocked(cpu, pfn, order, migrateType, percpuRefill);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void MmPagePcpuDrain(Cpu cpu, long pfn, int order, MigrateType migrateType)
    {
        foreach (IPageTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MmPagePcpuDrain(cpu, pfn, order, migrateType);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void MmPageAllocExtfrag(Cpu cpu, long pfn, int allocOrder, int fallbackOrder, MigrateType allocType, MigrateType fallbackType, bool changeOwnership)
    {
        foreach (IPageTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MmPageAllocExtfrag(cpu, pfn, allocOrder, fallbackOrder, allocType, fallbackType, changeOwnership);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }
}
