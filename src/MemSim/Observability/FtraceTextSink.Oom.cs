using System.Globalization;

namespace MemSim;

/// <content>The OOM killer's events. Attach with <see cref="MachineTracing.Attach"/>.</content>
public sealed partial class FtraceTextSink : IOomTraceSink
{
    /// <inheritdoc/>
    public void MarkVictim(Cpu cpu, in OomVictim victim) => WriteEvent(cpu, "mark_victim", 1, MarkVictimFields(victim));

    /// <inheritdoc/>
    public void OomScoreAdjUpdate(Cpu cpu, int pid, string comm, int oomScoreAdj) =>
        WriteEvent(cpu, "oom_score_adj_update", 0, string.Create(CultureInfo.InvariantCulture, $"pid={pid} comm={comm} oom_score_adj={oomScoreAdj}"));

    /// <inheritdoc/>
    public void WakeReaper(Cpu cpu, int pid) => WriteOomEvent(cpu, "wake_reaper", pid);

    /// <inheritdoc/>
    public void StartTaskReaping(Cpu cpu, int pid) => WriteOomEvent(cpu, "start_task_reaping", pid);

    /// <inheritdoc/>
    public void FinishTaskReaping(Cpu cpu, int pid) => WriteOomEvent(cpu, "finish_task_reaping", pid);

    /// <inheritdoc/>
    public void SkipTaskReaping(Cpu cpu, int pid) => WriteOomEvent(cpu, "skip_task_reaping", pid);

    // The kernel itself changes from '=' to ':' and back.
    internal static string MarkVictimFields(in OomVictim v) => string.Create(CultureInfo.InvariantCulture,
        $"pid={v.Pid} comm={v.Comm} total-vm={v.TotalVmKiB}kB anon-rss={v.AnonRssKiB}kB file-rss:{v.FileRssKiB}kB shmem-rss:{v.ShmemRssKiB}kB uid={v.Uid} pgtables={v.PageTablesKiB}kB oom_score_adj={v.OomScoreAdj}");

    private void WriteOomEvent(Cpu cpu, string name, int pid) => WriteEvent(cpu, name, 0, string.Create(CultureInfo.InvariantCulture, $"pid={pid}"));
}
