namespace MemSim;

/// <summary>Receives the OOM killer's tracepoints (<c>oom:*</c>) with the fields of Linux 6.1.</summary>
/// <remarks>Called on the thread that drives the CPU; must not call back into the machine.</remarks>
public interface IOomTraceSink : ITraceSink
{
    /// <summary><c>mark_victim</c>: a task may use the reserves from now on, because it is about to die.</summary>
    void MarkVictim(Cpu cpu, in OomVictim victim);

    /// <summary><c>oom_score_adj_update</c>: a process's <c>oom_score_adj</c> was written.</summary>
    void OomScoreAdjUpdate(Cpu cpu, int pid, string comm, int oomScoreAdj);

    /// <summary><c>wake_reaper</c>: the reaper is to take a victim's memory.</summary>
    void WakeReaper(Cpu cpu, int pid);

    /// <summary><c>start_task_reaping</c>: the reaper begins.</summary>
    void StartTaskReaping(Cpu cpu, int pid);

    /// <summary><c>finish_task_reaping</c>: the reaper is done.</summary>
    void FinishTaskReaping(Cpu cpu, int pid);

    /// <summary><c>skip_task_reaping</c>: there is nothing to reap any more, or not yet.</summary>
    void SkipTaskReaping(Cpu cpu, int pid);
}

/// <summary>What <c>mark_victim</c> says of a victim; memory in KiB.</summary>
/// <param name="Pid">Its process id.</param>
/// <param name="Comm">Its name.</param>
/// <param name="TotalVmKiB">Its address space.</param>
/// <param name="AnonRssKiB">Its anonymous memory.</param>
/// <param name="FileRssKiB">Its pages of files.</param>
/// <param name="ShmemRssKiB">Its shared memory.</param>
/// <param name="Uid">Its user: always 0 here.</param>
/// <param name="PageTablesKiB">Its page tables.</param>
/// <param name="OomScoreAdj">What was added to its badness.</param>
public readonly record struct OomVictim(int Pid, string Comm, long TotalVmKiB, long AnonRssKiB, long FileRssKiB, long ShmemRssKiB, int Uid, long PageTablesKiB, int OomScoreAdj);
