namespace MemSim.Kernels;

/// <summary>Linux 7.0.</summary>
internal static class Linux7_0
{
    private static KernelPersonality Older => Linux6_19.Line;

    public static KernelPersonality Line { get; } = Older with
    {
        Name = "7.0",
        Recorded = "Debian 7.0.13-1~bpo13+1",
        Image = Older.Image with
        {
            CodeKiB = 17754,
            DataKiB = 3432,
            ConstantKiB = 13780,
            InitKiB = 4496,
            BssKiB = 4980,
            PercpuPages = 63,
            PercpuStaticBytes = 221184,
            FtracePages = 192,
            StartKiB = 2820,
        },
        Allocator = Older.Allocator with { SkipsRepeatedAttempt = true },
        Objects = Older.Objects.WithBytes(("pid", 144), ("task_struct", 8776), ("mm_struct", 1752), ("bdev_cache", 1592)) with
        {
            FreePointerInside = Older.Objects.FreePointerInside.Union(["TCP", "TCPv6"]),
        },
        Cgroups = Older.Cgroups with { CountsPageTables = true },
        Slab = Older.Slab with { Sheaves = SheafRule.Everywhere, CacheBytes = 208, ChecksPreventMerging = true },
        Views = Older.Views with { Rows = RowSet.Of7_0, FirmwareMapHasGaps = true, AddedSysctls = Older.Views.AddedSysctls.Add("movable_gigantic_pages") },
        KernelMemory = Older.KernelMemory with { ThreadStacks = ThreadStackRule.BlockFreedAsPages },
    };
}
