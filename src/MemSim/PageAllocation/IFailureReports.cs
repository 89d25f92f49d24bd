namespace MemSim.PageAllocation;

/// <summary>What is written down when memory is not there: by the page allocator when a request fails, by the OOM killer when it kills.</summary>
internal interface IFailureReports
{
    /// <summary>How many requests failed.</summary>
    long Failures { get; }

    /// <summary>Whether whole reports are written even when nobody listens to the logger.</summary>
    bool KeepsText { get; set; }

    /// <summary>The text of the last report, or its head; null before the first and after failures that asked for none.</summary>
    string? Last { get; }

    /// <summary>A request for an order that no kernel has.</summary>
    void OrderTooLarge(Cpu cpu, Gfp gfp, int order);

    /// <summary>A request failed (<c>warn_alloc()</c>).</summary>
    void AllocationFailed(Cpu cpu, Gfp gfp, int order, ulong nodeMask);

    /// <summary>The state of memory as reports show it (<c>show_mem()</c>).</summary>
    string MemoryState(Cpu cpu, int highestZoneIndex, ulong nodeMask);

    /// <summary>The CPU, the task and the kernel (<c>dump_stack_print_info()</c>).</summary>
    string CpuLine(Cpu cpu);
}
