using MemSim.Diagnostics;

namespace MemSim.Oom;

/// <summary>Passes the OOM killer's tracepoints on to everyone who listens; rare enough to need no tricks.</summary>
internal sealed class OomTracepoints : TraceFanOut<IOomTraceSink>, IOomTraceSink
{
    public void MarkVictim(Cpu cpu, in OomVictim victim)
    {
        foreach (IOomTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.MarkVictim(cpu, victim);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void OomScoreAdjUpdate(Cpu cpu, int pid, string comm, int oomScoreAdj)
    {
        foreach (IOomTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.OomScoreAdjUpdate(cpu, pid, comm, oomScoreAdj);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void WakeReaper(Cpu cpu, int pid)
    {
        foreach (IOomTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.WakeReaper(cpu, pid);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void StartTaskReaping(Cpu cpu, int pid)
    {
        foreach (IOomTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.StartTaskReaping(cpu, pid);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void FinishTaskReaping(Cpu cpu, int pid)
    {
        foreach (IOomTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.FinishTaskReaping(cpu, pid);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }

    public void SkipTaskReaping(Cpu cpu, int pid)
    {
        foreach (IOomTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                sink.SkipTaskReaping(cpu, pid);
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }
}
