namespace MemSim.Kernels;

/// <summary>Linux 7.1.</summary>
internal static class Linux7_1
{
    private static KernelPersonality Older => Linux7_0.Line;

    public static KernelPersonality Line { get; } = Older with
    {
        Name = "7.1",
        Recorded = "Debian 7.1.13-1~bpo13+1",
        Image = Older.Image with
        {
            CodeKiB = 17820,
            DataKiB = 3377,
            ConstantKiB = 14416,
            InitKiB = 4572,
            BssKiB = 4924,
            DataAtKiB = 34 << 10,
            BssEndKiB = 52 << 10,
            SmpAlternativesKiB = 48,
            NodeDataBytes = 0x2ae00,
            StartKiB = 3200,
        },
        Allocator = Older.Allocator with { HighAtomicRefillsPcp = false, ReservesAfterPcpHit = false },
        Objects = Older.Objects.WithBytes(
            ("anon_vma", 88), ("task_struct", 8840), ("filp", 176), ("bdev_cache", 1536), ("shmem_inode_cache", 688), ("hugetlbfs_inode_cache", 576)),
        Views = Older.Views with { Rows = RowSet.Of7_1 },
        Slab = Older.Slab with { NodeBytes = 64, CacheBytes = 216 },
        KernelMemory = Older.KernelMemory with { FreesSmpAlternativesLate = true },
    };
}
