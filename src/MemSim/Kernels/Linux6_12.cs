using System.Collections.Immutable;

namespace MemSim.Kernels;

/// <summary>Linux 6.12.</summary>
internal static class Linux6_12
{
    private static KernelPersonality Older => Linux6_1.Line;

    public static KernelPersonality Line { get; } = Older with
    {
        Name = "6.12",
        Recorded = "Debian 6.12.117-1",
        Image = Older.Image with
        {
            CodeKiB = 16384,
            DataKiB = 2499,
            ConstantKiB = 11716,
            InitKiB = 4264,
            BssKiB = 4904,
            DataAtKiB = 28 << 10,
            BssEndKiB = 44 << 10,
            SmpAlternativesKiB = 40,
            UnusedDecryptedKiB = 2028,
            NodeDataBytes = 0x2a980,
            PercpuPages = 66,
            PercpuStaticBytes = 233472,
            SmallAllocationPages = 6,
            StackDepotBucketPointers = 2,
            FtracePages = 180,
            StartKiB = 2700,
        },
        Reserves = Older.Reserves with { ClampsMovableMin = true, PcpHighMaxFraction = 8 },
        Reclaim = Older.Reclaim with { OnlyOldestRefaults = false, SparesLowOnce = true, GenerationsAtBoot = true, NewPages = GenerationPlacement.SecondOldest, FreesInOrder = true, ListBatchPages = 31, SwapInMapsWritable = true, ReclaimsSwapShadows = true },
        KernelMemory = Older.KernelMemory with { KeepsFreedRangesByCpu = true },
        Slab = Older.Slab with { OrderIgnoresFewerObjects = true, KmallocOddSizesFirst = true },
        Objects = Older.Objects.WithBytes(
            ("pid", 128), ("cred_jar", 184), ("signal_cache", 1104), ("mm_struct", 1360), ("vm_area_struct", 176), ("filp", 184), ("bdev_cache", 1600), ("shmem_inode_cache", 752),
            ("hugetlbfs_inode_cache", 632)) with
        {
            Names = ImmutableDictionary<string, string>.Empty.Add("cred_jar", "cred"),
            FreedWithRcu = ["filp"],
            FreePointerInside = ["filp"],
        },
        Views = Older.Views with { Rows = RowSet.Of6_12, HugePagesBySize = true, AddedSysctls = ["enable_soft_offline", "memfd_noexec"], ReportsNameUser = true, TotalPagesArePresent = true, PageOwnerRecent = true, SmapsCountsKsm = true, ZonelistsAfterTables = true },
        Areas = Older.Areas with { GivesChargeBack = true, SealsExecution = true, MapsSealedForReading = true, UnsharesForLongPins = true, RefusesLongWritePins = true, UserfaultPoisons = true, UserfaultMoves = true, WeightsInterleave = true, DiscardsHugeWhole = true },
        Cgroups = Older.Cgroups with { ReclaimsInQuarters = true, WalksWholeTree = false, ReclaimTakesSwappiness = true },
        CompressedMemory = Older.CompressedMemory with { ZspagesChain = true, ZeroPagesAreBits = true, ZswapByCgroup = true, ZswapShrinksUntilItAccepts = true, ZramCountsInvalid = false },
        Ksm = new KsmRules { ChecksumsFirst = true, EndsSingleChains = true, SkipsPages = true, CountsZeroPages = true, MergesProcesses = true, HasAdvisor = true },
        Allocator = Older.Allocator with
        {
            PcpTuning = PcpTuning.MovingLimit,
            CachesTypes = false,
            FreesPastHeldLists = true,
            CountsEachBlock = true,
            Fallback = FallbackRule.ClaimThenSteal,
            MergedBlocksTakeType = true,
            RemembersBelowHigh = true,
            CountsFreeHighAtomic = true,
            HighAtomicInWholeBlocks = true,
            HasAtomicFlag = false,
            NoWaitIsSilent = true,
        },
    };
}
