namespace MemSim.Kernels;

/// <summary>The image of Debian's amd64 kernel and what it allocates early, as its boot log and <c>/proc/iomem</c> tell. Other architectures have the image of 6.1's line.</summary>
public sealed record ImageRules
{
    /// <summary>KiB of code; it ends inside a page.</summary>
    public int CodeKiB { get; init; } = 14343;

    /// <summary>KiB of data that is written.</summary>
    public int DataKiB { get; init; } = 2338;

    /// <summary>KiB of constant data, whole pages.</summary>
    public int ConstantKiB { get; init; } = 9132;

    /// <summary>KiB of code and data that only the boot needs, whole pages.</summary>
    public int InitKiB { get; init; } = 2824;

    /// <summary>KiB of uninitialised data.</summary>
    public int BssKiB { get; init; } = 17344;

    /// <summary>KiB from the start of the image to its constant data. The gap before it is freed.</summary>
    public int ConstantAtKiB { get; init; } = 16 << 10;

    /// <summary>KiB from the start of the image to the data that is written. The gap before it is freed.</summary>
    public int DataAtKiB { get; init; } = 26 << 10;

    /// <summary>KiB from the start of the image to the end of uninitialised data, where the early heap (brk) begins.</summary>
    public int BssEndKiB { get; init; } = 52 << 10;

    /// <summary>KiB of lock prefixes that are freed once it is known how many CPUs there are (<c>SMP alternatives</c>, between the part for the boot and a last page before uninitialised data); 0 where the log tells of none (7.3).</summary>
    public int SmpAlternativesKiB { get; init; } = 36;

    /// <summary>KiB freed at the end of uninitialised data where memory is not encrypted (<c>unused decrypted</c>).</summary>
    public int UnusedDecryptedKiB { get; init; } = 2036;

    /// <summary>Bytes of a node's descriptor with its zones (<c>pg_data_t</c>) as allocated: whole pages up to 6.1, cache lines later.</summary>
    public int NodeDataBytes { get; init; } = 0x2b000;

    /// <summary>Pages of a CPU's first per-CPU area.</summary>
    public int PercpuPages { get; init; } = 62;

    /// <summary>Bytes of it that variables of the image take.</summary>
    public int PercpuStaticBytes { get; init; } = 217088;

    /// <summary>Pages of the many small allocations (resource names, section tables, command lines, fixed page tables) that are modelled as one.</summary>
    public int SmallAllocationPages { get; init; } = 7;

    /// <summary>Pages of records of traceable functions (<c>ftrace: allocated 188 pages</c>), which the page allocator gives before the log counts available memory (6.12).</summary>
    public int FtracePages { get; init; }

    /// <summary>KiB that the kernel's start takes of the page allocator besides, on one CPU, before the log counts available memory (6.12): caches, stacks, page tables, what lists of CPUs hold.</summary>
    public int StartKiB { get; init; }

    /// <summary>Pointers in a bucket of the hash table of stack traces, had where page owners or users of slab objects are recorded (a list head since 6.9).</summary>
    public int StackDepotBucketPointers { get; init; } = 1;

    /// <summary>Pages of the array of pools of stack traces, had early beside that table (since 6.17, seen in 7.3).</summary>
    public int StackDepotPoolPages { get; init; }
}
