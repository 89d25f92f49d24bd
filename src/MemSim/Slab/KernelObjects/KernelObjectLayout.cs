using MemSim.Kernels;

namespace MemSim.Slab;

/// <summary>How the kernel makes the cache of one kind of object.</summary>
/// <remarks>
/// Bytes are those of Debian's 6.1, as <c>/sys/kernel/slab</c> shows them; where 32-bit caches were merged, of what is known only that it takes so much room. Other
/// kernels' are in <see cref="Kernels.ObjectRules"/>, of x86-64 alone. Those of ext4's inodes, whose module none of the recorded kernels had loaded, are an estimate.
/// </remarks>
/// <param name="Kind">The kind of object.</param>
/// <param name="Name">The cache's name.</param>
/// <param name="Flags">Its properties but for <see cref="SlabFlags.Panic"/>.</param>
/// <param name="Bytes">Bytes of an object on x86-64, arm64, 32-bit x86 without and with PAE.</param>
internal sealed record KernelObjectLayout(KernelObject Kind, string Name, SlabFlags Flags, (int X64, int Arm64, int X86, int Pae) Bytes)
{
    private const SlabFlags Aligned = SlabFlags.HwCacheAlign | SlabFlags.Account;
    private const SlabFlags Inodes = SlabFlags.ReclaimAccount | SlabFlags.Account;

    private static readonly KernelObjectLayout[] Layouts =
    [
        new(KernelObject.PageTreeNode, "radix_tree_node", SlabFlags.ReclaimAccount, (576, 576, 300, 300)) { HasConstructor = true },
        new(KernelObject.MapleNode, "maple_node", SlabFlags.None, (256, 256, 256, 256)) { Align = 256 },
        new(KernelObject.Pid, "pid", Aligned, (112, 112, 64, 64)),
        new(KernelObject.AnonVma, "anon_vma", SlabFlags.TypesafeByRcu | SlabFlags.Account, (96, 96, 52, 52)) { HasConstructor = true },
        new(KernelObject.AnonVmaChain, "anon_vma_chain", SlabFlags.Account, (64, 64, 32, 32)),
        new(KernelObject.Credentials, "cred_jar", Aligned, (176, 176, 128, 128)),
        new(KernelObject.Task, "task_struct", SlabFlags.Account, (8392, 4160, 2944, 5192)) { Align = 64, UserBytes = 512 },
        new(KernelObject.SignalHandlers, "sighand_cache", Aligned | SlabFlags.TypesafeByRcu, (2080, 2080, 1300, 1300)) { HasConstructor = true },
        new(KernelObject.Signal, "signal_cache", Aligned, (1112, 1112, 736, 736)),
        new(KernelObject.Files, "files_cache", Aligned, (704, 704, 256, 256)),
        new(KernelObject.FileSystem, "fs_cache", Aligned, (56, 56, 36, 36)),
        new(KernelObject.Mm, "mm_struct", Aligned, (1104, 952, 564, 564)) { UserBytes = 192 },
        new(KernelObject.Vma, "vm_area_struct", SlabFlags.Account, (152, 152, 72, 80)),
        new(KernelObject.Dentry, "dentry", Inodes, (192, 192, 128, 128)) { UserBytes = 32 },
        new(KernelObject.File, "filp", Aligned, (232, 232, 160, 160)),
        new(KernelObject.DeviceInode, "bdev_cache", Inodes | SlabFlags.HwCacheAlign, (1560, 1576, 968, 976)) { HasConstructor = true },
        new(KernelObject.ShmemInode, "shmem_inode_cache", SlabFlags.Account, (776, 776, 480, 480)) { HasConstructor = true },
        new(KernelObject.HugetlbInode, "hugetlbfs_inode_cache", SlabFlags.Account, (656, 656, 416, 416)) { HasConstructor = true },
        new(KernelObject.DiskInode, "ext4_inode_cache", Inodes, (1176, 1176, 780, 780)) { HasConstructor = true, UserBytes = 60 },
    ];

    /// <summary>All kinds, in the order in which the boot makes their caches: of mergeable ones the first gives its name.</summary>
    public static ReadOnlySpan<KernelObjectLayout> All => Layouts;

    /// <summary>The alignment asked for, or 0.</summary>
    public int Align { get; init; }

    /// <summary>Bytes that may be copied to user space; such caches are never merged.</summary>
    public int UserBytes { get; init; }

    /// <summary>Whether objects are prepared when their slab is made.</summary>
    public bool HasConstructor { get; init; }

    public string NameOn(Machine machine) => machine.Personality.Objects.Names.GetValueOrDefault(Name, Name);

    public int BytesOn(Machine machine) => machine.Architecture.Architecture switch
    {
        Architecture.Arm64 => Bytes.Arm64,
        Architecture.X86_32 => Bytes.X86,
        Architecture.X86_32Pae => Bytes.Pae,
        _ => machine.Personality.Objects.Bytes.GetValueOrDefault(Name, Bytes.X64),
    };

    public SlabFlags FlagsOn(Machine machine) =>
        Flags | SlabFlags.Panic | (machine.Personality.Objects.FreedWithRcu.Contains(Name) ? SlabFlags.TypesafeByRcu | SlabFlags.HwCacheAlign : 0);

    /// <summary>What the cache is asked for besides.</summary>
    public KmemCacheArgs ArgsOn(Machine machine, ObjectConstructor constructor)
    {
        ObjectRules rules = machine.Personality.Objects;
        return new KmemCacheArgs
        {
            Align = Align,
            Constructor = HasConstructor ? constructor : null,
            UserOffset = UserBytes == 0 ? 0 : BytesOn(machine) - UserBytes,
            UserSize = UserBytes,
            FreePointerOffset = rules.FreePointerInside.Contains(Name) ? 0 : null,
            SheafCapacity = rules.SheafCapacities.GetValueOrDefault(Name),
        };
    }
}
