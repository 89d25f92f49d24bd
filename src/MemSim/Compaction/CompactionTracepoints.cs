using MemSim.Diagnostics;

namespace MemSim.Compaction;

/// <summary>Passes the tracepoints of compaction, migration and CMA on to whoever listens.</summary>
internal sealed class CompactionTracepoints : TraceFanOut<ICompactionTraceSink>, ICompactionTraceSink
{
    public void MmCompactionBegin(Cpu cpu, long zoneStart, long migratePfn, long freePfn, long zoneEnd, bool sync)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MmCompactionBegin(cpu, zoneStart, migratePfn, freePfn, zoneEnd, sync);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void MmCompactionEnd(Cpu cpu, long zoneStart, long migratePfn, long freePfn, long zoneEnd, bool sync, CompactionStatus status)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MmCompactionEnd(cpu, zoneStart, migratePfn, freePfn, zoneEnd, sync, status);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void MmCompactionIsolateMigratePages(Cpu cpu, long startPfn, long endPfn, long scanned, long taken)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MmCompactionIsolateMigratePages(cpu, startPfn, endPfn, scanned, taken);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void MmCompactionIsolateFreePages(Cpu cpu, long startPfn, long endPfn, long scanned, long taken)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MmCompactionIsolateFreePages(cpu, startPfn, endPfn, scanned, taken);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void MmCompactionMigratePages(Cpu cpu, long migrated, long failed)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MmCompactionMigratePages(cpu, migrated, failed);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void MmCompactionSuitable(Cpu cpu, Zone zone, int order, CompactionStatus status)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MmCompactionSuitable(cpu, zone, order, status);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void MmCompactionFinished(Cpu cpu, Zone zone, int order, CompactionStatus status)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MmCompactionFinished(cpu, zone, order, status);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void MmCompactionTryToCompactPages(Cpu cpu, int order, Gfp gfp, CompactionPriority priority)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MmCompactionTryToCompactPages(cpu, order, gfp, priority);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void MmCompactionDeferred(Cpu cpu, Zone zone, int order)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MmCompactionDeferred(cpu, zone, order);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void MmCompactionDeferCompaction(Cpu cpu, Zone zone, int order)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MmCompactionDeferCompaction(cpu, zone, order);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void MmCompactionDeferReset(Cpu cpu, Zone zone, int order)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MmCompactionDeferReset(cpu, zone, order);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void MmCompactionWakeupKcompactd(Cpu cpu, int node, int order, int highestZoneIndex)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MmCompactionWakeupKcompactd(cpu, node, order, highestZoneIndex);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void MmCompactionKcompactdWake(Cpu cpu, int node, int order, int highestZoneIndex)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MmCompactionKcompactdWake(cpu, node, order, highestZoneIndex);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void MmCompactionKcompactdSleep(Cpu cpu, int node)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MmCompactionKcompactdSleep(cpu, node);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void MmMigratePages(Cpu cpu, long succeeded, long failed, MigrationMode mode, MigrationReason reason)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MmMigratePages(cpu, succeeded, failed, mode, reason);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void CmaAllocStart(Cpu cpu, string name, long pages, int alignOrder)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.CmaAllocStart(cpu, name, pages, alignOrder);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void CmaAllocBusyRetry(Cpu cpu, string name, long pfn, long pages, int alignOrder)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.CmaAllocBusyRetry(cpu, name, pfn, pages, alignOrder);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void CmaAllocFinish(Cpu cpu, string name, long pfn, long pages, int alignOrder)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.CmaAllocFinish(cpu, name, pfn, pages, alignOrder);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void CmaRelease(Cpu cpu, string name, long pfn, long pages)
    {
        foreach (ICompactionTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.CmaRelease(cpu, name, pfn, pages);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }
}
