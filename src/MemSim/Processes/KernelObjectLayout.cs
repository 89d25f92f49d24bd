namespace MemSim.AddressSpaces;

/// <summary>How the kernel makes the cache of one kind of object.</summary>
/// <remarks>
/// Bytes are those of Debian's 6.1 and 6.12 kernels, as <c>/sys/kernel/slab</c> shows them; where 32-bit caches were merged, of what is known only that it takes
/// so much room. Those of ext4's inodes, whose module none of the recorded kernels had loaded, are an estimate.
/// </remarks>
/// <param name="Kind">The kind of object.</param>
/// <param name="Name">The cache's name.</param>
/// <param name="Flags">Its properties but for <see cref="SlabFlags.Panic"/>.</param>
/// <param name="Bytes">Bytes of an object on x86-64, arm64, 32-bit x86 without and with PAE, and x86-64 with 6.12.</param>
internal sealed record KernelObjectLayout(KernelObject Kind, string Name, SlabFlags Flags, (int X64, int Arm64, int X86, int Pae, int X64Linux612) Bytes)
{
    private const SlabFlags Aligned = SlabFlags.HwCacheAlign | SlabFlags.Account;
    private const SlabFlags Inodes = SlabFlags.ReclaimAccount | SlabFlags.Account;

    private static readonly KernelObjectLayout[] Layouts =
    [
        new(KernelObject.PageTreeNode, "radix_tree_node", SlabFlags.ReclaimAccount, (576, 576, 300, 300, 576)) { HasConstructor = true },
        new(KernelObject.MapleNode, "maple_node", SlabFlags.None, (256, 256, 256, 256, 256)) { Align = 256 },
        new(KernelObject.Pid, "pid", Aligned, (112, 112, 64, 64, 128)),
        new(KernelObject.AnonVma, "anon_vma", SlabFlags.TypesafeByRcu | SlabFlags.Account, (96, 96, 52, 52, 96)) { HasConstructor = true },
        new(KernelObject.AnonVmaChain, "anon_vma_chain", SlabFlags.Account, (64, 64, 32, 32, 64)),
        new(KernelObject.Credentials, "cred_jar", Aligned, (176, 176, 128, 128, 184)) { NameOnLinux612 = "cred" },
        new(KernelObject.Task, "task_struct", SlabFlags.Account, (8392, 4160, 2944, 5192, 8392)) { Align = 64, UserBytes = 512 },
        new(KernelObject.SignalHandlers, "sighand_cache", Aligned | SlabFlags.TypesafeByRcu, (2080, 2080, 1300, 1300, 2080)) { HasConstructor = true },
        new(KernelObject.Signal, "signal_cache", Aligned, (1112, 1112, 736, 736, 1152)),
        new(KernelObject.Files, "files_cache", Aligned, (704, 704, 256, 256, 704)),
        new(KernelObject.FileSystem, "fs_cache", Aligned, (56, 56, 36, 36, 56)),
        new(KernelObject.Mm, "mm_struct", Aligned, (1104, 952, 564, 564, 1360)) { UserBytes = 192 },
        new(KernelObject.Vma, "vm_area_struct", SlabFlags.Account, (152, 152, 72, 80, 176)),
        new(KernelObject.Dentry, "dentry", Inodes, (192, 192, 128, 128, 192)) { UserBytes = 32 },
        new(KernelObject.File, "filp", Aligned, (232, 232, 160, 160, 184)),
        new(KernelObject.DeviceInode, "bdev_cache", Inodes | SlabFlags.HwCacheAlign, (1560, 1576, 968, 976, 1600)) { HasConstructor = true },
        new(KernelObject.ShmemInode, "shmem_inode_cache", SlabFlags.Account, (776, 776, 480, 480, 752)) { HasConstructor = true },
        new(KernelObject.HugetlbInode, "hugetlbfs_inode_cache", SlabFlags.Account, (656, 656, 416, 416, 632)) { HasConstructor = true },
        new(KernelObject.DiskInode, "ext4_inode_cache", Inodes, (1176, 1176, 780, 780, 1176)) { HasConstructor = true, UserBytes = 60 },
    ];

    /// <summary>All kinds, in the order in which the boot makes their caches: of mergeable ones the first gives its name.</summary>
    public static ReadOnlySpan<KernelObjectLayout> All => Layouts;

    /// <summary>The alignment asked for, or 0.</summary>
    public int Align { get; init; }

    /// <summary>Bytes that may be copied to user space; such caches are never merged.</summary>
    public int UserBytes { get; init; }

    /// <summary>Whether objects are prepared when their slab is made.</summary>
    public bool HasConstructor { get; init; }

    private string? NameOnLinux612 { get; init; }

    public string NameOn(Machine machine) => NameOnLinux612 is not null && machine.Personality.Objects.SizesOf6_12 ? NameOnLinux612 : Name;

    public int BytesOn(Machine machine) => machine.Architecture.Architecture switch
    {
        Architecture.Arm64 => Bytes.Arm64,
        Architecture.X86_32 => Bytes.X86,
        Architecture.X86_32Pae => Bytes.Pae,
        _ => machine.Personality.Objects.SizesOf6_12 ? Bytes.X64Linux612 : Bytes.X64,
    };
}
