namespace MemSim.Oom;

/// <summary>What the OOM killer knows of a process: a row of the task table of its report. Memory in pages, page tables in bytes.</summary>
internal readonly record struct OomTask
{
    public int Pid { get; init; }

    public int Uid { get; init; }

    /// <summary>The process a thread belongs to; simulated processes have one thread.</summary>
    public int Tgid { get; init; }

    public string Name { get; init; }

    public long TotalPages { get; init; }

    public long AnonPages { get; init; }

    public long FilePages { get; init; }

    public long SharedMemoryPages { get; init; }

    public long PageTableBytes { get; init; }

    public long SwapEntries { get; init; }

    /// <summary><c>oom_score_adj</c>, -1000 to 1000.</summary>
    public int ScoreAdj { get; init; }

    /// <summary>The same for the tracepoint.</summary>
    public OomVictim ToEvent()
    {
        const int toKiB = PageGeometry.PageShift - 10;
        return new OomVictim(Pid, Name, TotalPages << toKiB, AnonPages << toKiB, FilePages << toKiB, SharedMemoryPages << toKiB, Uid, PageTableBytes >> 10, ScoreAdj);
    }

    public long ResidentPages => AnonPages + FilePages + SharedMemoryPages;
}
