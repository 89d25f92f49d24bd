using MemSim.Statistics;

namespace MemSim.Oom;

/// <summary>Passes the OOM killer's tracepoints on to everyone who listens; rare enough to need no tricks.</summary>
internal sealed class OomTracepoints : TraceFanOut<IOomTraceSink>, IOomTraceSink
{
    public void MarkVictim(Cpu cpu, in OomVictim victim) => Pass(cpu, in victim, static (sink, cpu, in e) => sink.MarkVictim(cpu, in e));

    public void OomScoreAdjUpdate(Cpu cpu, int pid, string comm, int oomScoreAdj) =>
        Pass(cpu, (pid, comm, oomScoreAdj), static (sink, cpu, in e) => sink.OomScoreAdjUpdate(cpu, e.pid, e.comm, e.oomScoreAdj));

    public void WakeReaper(Cpu cpu, int pid) => Pass(cpu, in pid, static (sink, cpu, in pid) => sink.WakeReaper(cpu, pid));

    public void StartTaskReaping(Cpu cpu, int pid) => Pass(cpu, in pid, static (sink, cpu, in pid) => sink.StartTaskReaping(cpu, pid));

    public void FinishTaskReaping(Cpu cpu, int pid) => Pass(cpu, in pid, static (sink, cpu, in pid) => sink.FinishTaskReaping(cpu, pid));

    public void SkipTaskReaping(Cpu cpu, int pid) => Pass(cpu, in pid, static (sink, cpu, in pid) => sink.SkipTaskReaping(cpu, pid));
}
