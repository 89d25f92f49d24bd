using MemSim.Diagnostics;

namespace MemSim.Oom;

/// <summary>Passes the OOM killer's tracepoints on to everyone who listens; rare enough to need no tricks.</summary>
internal sealed class OomTracepoints : TraceFanOut<IOomTraceSink>, IOomTraceSink
{
    public void MarkVictim(Cpu cpu, in OomVictim victim)
    {
        foreach (IOomTraceSink sink in Sinks)
        {
            sink.MarkVictim(cpu, victim);
        }
    }

    public void OomScoreAdjUpdate(Cpu cpu, int pid, string comm, int oomScoreAdj)
    {
        foreach (IOomTraceSink sink in Sinks)
        {
            sink.OomScoreAdjUpdate(cpu, pid, comm, oomScoreAdj);
        }
    }

    public void WakeReaper(Cpu cpu, int pid)
    {
        foreach (IOomTraceSink sink in Sinks)
        {
            sink.WakeReaper(cpu, pid);
        }
    }

    public void StartTaskReaping(Cpu cpu, int pid)
    {
        foreach (IOomTraceSink sink in Sinks)
        {
            sink.StartTaskReaping(cpu, pid);
        }
    }

    public void FinishTaskReaping(Cpu cpu, int pid)
    {
        foreach (IOomTraceSink sink in Sinks)
        {
            sink.FinishTaskReaping(cpu, pid);
        }
    }

    public void SkipTaskReaping(Cpu cpu, int pid)
    {
        foreach (IOomTraceSink sink in Sinks)
        {
            sink.SkipTaskReaping(cpu, pid);
        }
    }
}
