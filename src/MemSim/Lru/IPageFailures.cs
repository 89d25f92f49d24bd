namespace MemSim.Lru;

/// <summary>What deals with hardware errors in pages that somebody names.</summary>
internal interface IPageFailures
{
    /// <summary>A page that the running process maps is broken, or shall be used no more (<c>madvise_inject_error()</c>).</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="pfn">The page.</param>
    /// <param name="address">Where the process maps it.</param>
    /// <param name="soft">Whether it is only to be used no more.</param>
    Errno Inject(Cpu cpu, int pfn, ulong address, bool soft);

    /// <summary>Processes get the signals that came of it: at the end of the system call.</summary>
    void DeliverSignals(Cpu cpu);
}
