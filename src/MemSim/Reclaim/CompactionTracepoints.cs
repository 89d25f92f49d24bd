namespace MemSim.Reclaim;

/// <summary>Passes the tracepoints of compaction, migration and CMA on to whoever listens.</summary>
internal sealed class CompactionTracepoints : ICompactionTraceSink
{
    private readonly ICompactionTraceSink[] _sinks;

    public CompactionTracepoints(ICompactionTraceSink[] sinks) => _sinks = sinks;

    public CompactionTracepoints With(ICompactionTraceSink sink) => new([.. _sinks, sink]);

    public CompactionTracepoints? Without(ICompactionTraceSink sink)
    {
        ICompactionTraceSink[] left = [.. _sinks.Where(s => !ReferenceEquals(s, sink))];
        return left.Length == 0 ? null : new CompactionTracepoints(left);
    }

    public void MmCompactionBegin(Cpu cpu, long zoneStart, long migratePfn, long freePfn, long zoneEnd, bool sync)
    {
        foreach (ICompactionTraceSink sink in _sinks)
        {
            sink.MmCompactionBegin(cpu, zoneStart, migratePfn, freePfn, zoneEnd, sync);
        }
    }

    public void MmCompactionEnd(Cpu cpu, long zoneStart, long migratePfn, long freePfn, long zoneEnd, bool sync, CompactionStatus status)
    {
        foreach (ICompactionTraceSink sink in _sinks)
        {
            sink.MmCompactionEnd(cpu, zoneStart, migratePfn, freePfn, zoneEnd, sync, status);
        }
    }

    public void MmCompactionIsolateMigratePages(Cpu cpu, long startPfn, long endPfn, long scanned, long taken)
    {
        foreach (ICompactionTraceSink sink in _sinks)
        {
            sink.MmCompactionIsolateMigratePages(cpu, startPfn, endPfn, scanned, taken);
        }
    }

    public void MmCompactionIsolateFreePages(Cpu cpu, long startPfn, long endPfn, long scanned, long taken)
    {
        foreach (ICompactionTraceSink sink in _sinks)
        {
            sink.MmCompactionIsolateFreePages(cpu, startPfn, endPfn, scanned, taken);
        }
    }

    public void MmCompactionMigratePages(Cpu cpu, long migrated, long failed)
    {
        foreach (ICompactionTraceSink sink in _sinks)
        {
            sink.MmCompactionMigratePages(cpu, migrated, failed);
        }
    }

    public void MmCompactionSuitable(Cpu cpu, Zone zone, int order, CompactionStatus status)
    {
        foreach (ICompactionTraceSink sink in _sinks)
        {
            sink.MmCompactionSuitable(cpu, zone, order, status);
        }
    }

    public void MmCompactionFinished(Cpu cpu, Zone zone, int order, CompactionStatus status)
    {
        foreach (ICompactionTraceSink sink in _sinks)
        {
            sink.MmCompactionFinished(cpu, zone, order, status);
        }
    }

    public void MmCompactionTryToCompactPages(Cpu cpu, int order, Gfp gfp, CompactionPriority priority)
    {
        foreach (ICompactionTraceSink sink in _sinks)
        {
            sink.MmCompactionTryToCompactPages(cpu, order, gfp, priority);
        }
    }

    public void MmCompactionDeferred(Cpu cpu, Zone zone, int order)
    {
        foreach (ICompactionTraceSink sink in _sinks)
        {
            sink.MmCompactionDeferred(cpu, zone, order);
        }
    }

    public void MmCompactionDeferCompaction(Cpu cpu, Zone zone, int order)
    {
        foreach (ICompactionTraceSink sink in _sinks)
        {
            sink.MmCompactionDeferCompaction(cpu, zone, order);
        }
    }

    public void MmCompactionDeferReset(Cpu cpu, Zone zone, int order)
    {
        foreach (ICompactionTraceSink sink in _sinks)
        {
            sink.MmCompactionDeferReset(cpu, zone, order);
        }
    }

    public void MmCompactionWakeupKcompactd(Cpu cpu, int node, int order, int highestZoneIndex)
    {
        foreach (ICompactionTraceSink sink in _sinks)
        {
            sink.MmCompactionWakeupKcompactd(cpu, node, order, highestZoneIndex);
        }
    }

    public void MmCompactionKcompactdWake(Cpu cpu, int node, int order, int highestZoneIndex)
    {
        foreach (ICompactionTraceSink sink in _sinks)
        {
            sink.MmCompactionKcompactdWake(cpu, node, order, highestZoneIndex);
        }
    }

    public void MmCompactionKcompactdSleep(Cpu cpu, int node)
    {
        foreach (ICompactionTraceSink sink in _sinks)
        {
            sink.MmCompactionKcompactdSleep(cpu, node);
        }
    }

    public void MmMigratePages(Cpu cpu, long succeeded, long failed, MigrationMode mode, MigrationReason reason)
    {
        foreach (ICompactionTraceSink sink in _sinks)
        {
            sink.MmMigratePages(cpu, succeeded, failed, mode, reason);
        }
    }

    public void CmaAllocStart(Cpu cpu, string name, long pages, int alignOrder)
    {
        foreach (ICompactionTraceSink sink in _sinks)
        {
            sink.CmaAllocStart(cpu, name, pages, alignOrder);
        }
    }

    public void CmaAllocBusyRetry(Cpu cpu, string name, long pfn, long pages, int alignOrder)
    {
        foreach (ICompactionTraceSink sink in _sinks)
        {
            sink.CmaAllocBusyRetry(cpu, name, pfn, pages, alignOrder);
        }
    }

    public void CmaAllocFinish(Cpu cpu, string name, long pfn, long pages, int alignOrder)
    {
        foreach (ICompactionTraceSink sink in _sinks)
        {
            sink.CmaAllocFinish(cpu, name, pfn, pages, alignOrder);
        }
    }

    public void CmaRelease(Cpu cpu, string name, long pfn, long pages)
    {
        foreach (ICompactionTraceSink sink in _sinks)
        {
            sink.CmaRelease(cpu, name, pfn, pages);
        }
    }
}
