namespace MemSim.Zones;

/// <summary>What a task that compacts for itself waits for: a block of its order that becomes free in the zone meanwhile goes to it, not to the free lists (<c>struct capture_control</c>).</summary>
/// <remarks>Found by the buddy lists through <see cref="Zone.Capture"/>, under the zone's lock. An interrupt on the task's CPU frees in the task's name, as in the kernel.</remarks>
internal sealed class PageCapture(Cpu cpu, int order)
{
    private readonly KernelTask _task = cpu.Current;

    /// <summary>The CPU on which the task runs.</summary>
    public Cpu Cpu => cpu;

    /// <summary>The order wanted.</summary>
    public int Order => order;

    /// <summary>The first frame of the block that was caught; -1 for none.</summary>
    public int Pfn { get; private set; } = -1;

    /// <summary>Catches a block of the order that is being freed, if the task may have it (<c>compaction_capture()</c>).</summary>
    /// <param name="zone">Its zone.</param>
    /// <param name="cpuId">The CPU that frees it.</param>
    /// <param name="pfn">Its first frame.</param>
    /// <param name="type">The migrate type it is freed as.</param>
    public bool TryTake(Zone zone, int cpuId, int pfn, int type)
    {
        // Contiguous areas and ranges being cleared must not be used, and small blocks would mix types within movable page blocks.
        if (Pfn >= 0 || cpuId != cpu.Id || cpu.Current != _task || type is (int)MigrateType.Cma or (int)MigrateType.Isolate
            || (type == (int)MigrateType.Movable && order < zone.PageblockOrder))
        {
            return false;
        }

        Pfn = pfn;
        return true;
    }
}
