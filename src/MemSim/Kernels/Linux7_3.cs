namespace MemSim.Kernels;

/// <summary>Linux 7.3.</summary>
internal static class Linux7_3
{
    private static KernelPersonality Older => Linux7_2.Line;

    public static KernelPersonality Line { get; } = Older with
    {
        Name = "7.3",
        Recorded = "Debian 7.3.4-1~bpo13+1",
        Image = Older.Image with
        {
            CodeKiB = 18255,
            DataKiB = 3426,
            ConstantKiB = 14708,
            InitKiB = 4664,
            BssKiB = 4684,
            SmpAlternativesKiB = 0,
            NodeDataBytes = 0x2b0c0,
            FtracePages = 196,
        },
        Allocator = Older.Allocator with { HighAtomicFirst = true, GfpBits = 24, HasNoObjExt = false },
        Reclaim = Older.Reclaim with { Eviction = EvictionStep.ByPriorityInBatches, EmptyZonesCountFree = false },
        Objects = Older.Objects.WithBytes(("task_struct", 8968), ("signal_cache", 1144), ("bdev_cache", 1544)),
        Views = Older.Views with { Rows = RowSet.Of7_3, LruGenIdWidth = 0, AddedSysctls = Older.Views.AddedSysctls.Add("panic_on_unrecoverable_memory_failure") },
        KernelMemory = Older.KernelMemory with { FreesSmpAlternativesLate = false, SwapAreasShareAPriority = true },
    };
}
