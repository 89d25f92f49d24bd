using MemSim.Diagnostics;

namespace MemSim.Compaction;

/// <summary>Passes the tracepoints of compaction, migration and CMA on to whoever listens.</summary>
internal sealed class CompactionTracepoints : TraceFanOut<ICompactionTraceSink>, ICompactionTraceSink
{
    public void MmCompactionBegin(Cpu cpu, long zoneStart, long migratePfn, long freePfn, long zoneEnd, bool sync)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            sink.MmCompactionBegin(cpu, zoneStart, migratePfn, freePfn, zoneEnd, sync);
        }
    }

    public void MmCompactionEnd(Cpu cpu, long zoneStart, long migratePfn, long freePfn, long zoneEnd, bool sync, CompactionStatus status)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            sink.MmCompactionEnd(cpu, zoneStart, migratePfn, freePfn, zoneEnd, sync, status);
        }
    }

    public void MmCompactionIsolateMigratePages(Cpu cpu, long startPfn, long endPfn, long scanned, long taken)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            sink.MmCompactionIsolateMigratePages(cpu, startPfn, endPfn, scanned, taken);
        }
    }

    public void MmCompactionIsolateFreePages(Cpu cpu, long startPfn, long endPfn, long scanned, long taken)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            sink.MmCompactionIsolateFreePages(cpu, startPfn, endPfn, scanned, taken);
        }
    }

    public void MmCompactionMigratePages(Cpu cpu, long migrated, long failed)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            sink.MmCompactionMigratePages(cpu, migrated, failed);
        }
    }

    public void MmCompactionSuitable(Cpu cpu, Zone zone, int order, CompactionStatus status)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            sink.MmCompactionSuitable(cpu, zone, order, status);
        }
    }

    public void MmCompactionFinished(Cpu cpu, Zone zone, int order, CompactionStatus status)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            sink.MmCompactionFinished(cpu, zone, order, status);
        }
    }

    public void MmCompactionTryToCompactPages(Cpu cpu, int order, Gfp gfp, CompactionPriority priority)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            sink.MmCompactionTryToCompactPages(cpu, order, gfp, priority);
        }
    }

    public void MmCompactionDeferred(Cpu cpu, Zone zone, int order)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            sink.MmCompactionDeferred(cpu, zone, order);
        }
    }

    public void MmCompactionDeferCompaction(Cpu cpu, Zone zone, int order)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            sink.MmCompactionDeferCompaction(cpu, zone, order);
        }
    }

    public void MmCompactionDeferReset(Cpu cpu, Zone zone, int order)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            sink.MmCompactionDeferReset(cpu, zone, order);
        }
    }

    public void MmCompactionWakeupKcompactd(Cpu cpu, int node, int order, int highestZoneIndex)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            sink.MmCompactionWakeupKcompactd(cpu, node, order, highestZoneIndex);
        }
    }

    public void MmCompactionKcompactdWake(Cpu cpu, int node, int order, int highestZoneIndex)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            sink.MmCompactionKcompactdWake(cpu, node, order, highestZoneIndex);
        }
    }

    public void MmCompactionKcompactdSleep(Cpu cpu, int node)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            sink.MmCompactionKcompactdSleep(cpu, node);
        }
    }

    public void MmMigratePages(Cpu cpu, long succeeded, long failed, MigrationMode mode, MigrationReason reason)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            sink.MmMigratePages(cpu, succeeded, failed, mode, reason);
        }
    }

    public void CmaAllocStart(Cpu cpu, string name, long pages, int alignOrder)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            sink.CmaAllocStart(cpu, name, pages, alignOrder);
        }
    }

    public void CmaAllocBusyRetry(Cpu cpu, string name, long pfn, long pages, int alignOrder)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            sink.CmaAllocBusyRetry(cpu, name, pfn, pages, alignOrder);
        }
    }

    public void CmaAllocFinish(Cpu cpu, string name, long pfn, long pages, int alignOrder)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            sink.CmaAllocFinish(cpu, name, pfn, pages, alignOrder);
        }
    }

    public void CmaRelease(Cpu cpu, string name, long pfn, long pages)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            sink.CmaRelease(cpu, name, pfn, pages);
        }
    }
}
