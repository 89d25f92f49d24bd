namespace MemSim.Reclaim.Oom;

/// <summary>Passes the OOM killer's tracepoints on to everyone who listens; rare enough to need no tricks.</summary>
internal sealed class OomTracepoints : IOomTraceSink
{
    private IOomTraceSink[] _sinks = [];

    public void Attach(IOomTraceSink sink) => _sinks = [.. _sinks, sink];

    public void Detach(IOomTraceSink sink) => _sinks = [.. _sinks.Where(s => !ReferenceEquals(s, sink))];

    public void MarkVictim(Cpu cpu, in OomVictim victim)
    {
        foreach (IOomTraceSink sink in _sinks)
        {
            sink.MarkVictim(cpu, victim);
        }
    }

    public void OomScoreAdjUpdate(Cpu cpu, int pid, string comm, int oomScoreAdj)
    {
        foreach (IOomTraceSink sink in _sinks)
        {
            sink.OomScoreAdjUpdate(cpu, pid, comm, oomScoreAdj);
        }
    }

    public void WakeReaper(Cpu cpu, int pid)
    {
        foreach (IOomTraceSink sink in _sinks)
        {
            sink.WakeReaper(cpu, pid);
        }
    }

    public void StartTaskReaping(Cpu cpu, int pid)
    {
        foreach (IOomTraceSink sink in _sinks)
        {
            sink.StartTaskReaping(cpu, pid);
        }
    }

    public void FinishTaskReaping(Cpu cpu, int pid)
    {
        foreach (IOomTraceSink sink in _sinks)
        {
            sink.FinishTaskReaping(cpu, pid);
        }
    }

    public void SkipTaskReaping(Cpu cpu, int pid)
    {
        foreach (IOomTraceSink sink in _sinks)
        {
            sink.SkipTaskReaping(cpu, pid);
        }
    }
}
