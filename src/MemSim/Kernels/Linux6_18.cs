using System.Collections.Immutable;

namespace MemSim.Kernels;

/// <summary>Linux 6.18.</summary>
internal static class Linux6_18
{
    private static KernelPersonality Older => Linux6_17.Line;

    public static KernelPersonality Line { get; } = Older with
    {
        Name = "6.18",
        Recorded = "Debian 6.18.15-1~bpo13+1",
        Image = Older.Image with
        {
            CodeKiB = 17351,
            DataKiB = 3316,
            ConstantKiB = 13448,
            InitKiB = 4436,
            BssKiB = 5328,
            ConstantAtKiB = 18 << 10,
            DataAtKiB = 32 << 10,
            BssEndKiB = 50 << 10,
            SmpAlternativesKiB = 44,
            NodeDataBytes = 0x2ab00,
            PercpuPages = 62,
            PercpuStaticBytes = 217088,
            FtracePages = 188,
            StartKiB = 2680,
        },
        Areas = Older.Areas with { CollapsesReadOnly = true, MarksGuardedAreas = true },
        Reserves = Older.Reserves with { LowmemReserveFollowsManaged = true },
        Allocator = Older.Allocator with { GfpBits = 25, HasNoObjExt = true },
        Objects = Older.Objects.WithBytes(
            ("pid", 160), ("task_struct", 8712), ("signal_cache", 1152), ("mm_struct", 1496), ("vm_area_struct", 192), ("bdev_cache", 1568), ("shmem_inode_cache", 736),
            ("hugetlbfs_inode_cache", 616)) with
        {
            FreedWithRcu = Older.Objects.FreedWithRcu.Add("vm_area_struct"),
            FreePointerInside = Older.Objects.FreePointerInside.Add("vm_area_struct"),
            SheafCapacities = ImmutableDictionary<string, int>.Empty.Add("maple_node", 32).Add("vm_area_struct", 32),
        },
        Cgroups = Older.Cgroups with { StocksPerCpu = 7, CountsRefusedBatches = false, ReclaimTakesOnlyAnon = true, CountsPageTables = false },
        Slab = Older.Slab with { Sheaves = SheafRule.WhereAsked, SlabPagesAreCompound = true, NodeBytes = 72, CacheBytes = 224 },
        Views = Older.Views with { Rows = RowSet.Of6_18, AddedSysctls = Older.Views.AddedSysctls.Add("vfs_cache_pressure_denom"), ReportPreemption = "PREEMPT(lazy)", BounceBuffersBeforeZonelists = true },
        Traces = Older.Traces with { PreemptsLazily = true, FlagsByBit = true },
        Ksm = Older.Ksm with { TellsMergeable = true },
        CompressedMemory = Older.CompressedMemory with { ZswapChoosesPool = false, ZswapKeepsIncompressible = true },
        Reclaim = Older.Reclaim with { DiskReadAheadPages = 2048, ReclaimsSwapShadows = false },
    };
}
