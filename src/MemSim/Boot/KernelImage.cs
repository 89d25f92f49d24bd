using MemSim.KernelMemory;
using MemSim.Kernels;

namespace MemSim.Boot;

/// <summary>A part of the kernel image that is freed when the boot is over.</summary>
/// <param name="What">As in dmesg's "Freeing ... memory" line, e.g. <c>unused kernel image (initmem)</c>.</param>
/// <param name="Offset">Bytes from the start of the image.</param>
/// <param name="Length">Length in bytes.</param>
/// <param name="BeforeInitcalls">Whether it is freed before the initcalls run.</param>
public sealed record KernelImagePart(string What, ulong Offset, ulong Length, bool BeforeInitcalls = false);

/// <summary>A kernel image as far as memory is concerned: place, sizes of its parts, sizes of what it allocates early. Sizes in bytes unless the name says otherwise.</summary>
public sealed record KernelImage
{
    /// <summary>Where it is loaded: an address on x86, bytes from the start of memory on arm64.</summary>
    public required ulong LoadOffset { get; init; }

    /// <summary>Its length in memory, uninitialised data and early heap (brk) included.</summary>
    public required ulong Length { get; init; }

    /// <summary>KiB of code.</summary>
    public required int CodeKiB { get; init; }

    /// <summary>KiB of data that is written.</summary>
    public required int DataKiB { get; init; }

    /// <summary>KiB of constant data.</summary>
    public required int ConstantKiB { get; init; }

    /// <summary>KiB of code and data that only the boot needs.</summary>
    public required int InitKiB { get; init; }

    /// <summary>KiB of uninitialised data.</summary>
    public required int BssKiB { get; init; }

    /// <summary>Parts that are freed when the boot is over, in the order in which that happens.</summary>
    public IReadOnlyList<KernelImagePart> FreedParts { get; init; } = [];

    /// <summary>Size of the kernel's descriptor of a page frame (<c>struct page</c>).</summary>
    public required int StructPageBytes { get; init; }

    /// <summary>Size of a node's descriptor with its zones (<c>pg_data_t</c>) as allocated: in whole pages if it is a multiple of one, else in cache lines.</summary>
    public required int NodeDataBytes { get; init; }

    /// <summary>Pages of a CPU's first per-CPU area.</summary>
    public required int PercpuPages { get; init; }

    /// <summary>Bytes of it that variables of the kernel image take.</summary>
    public required int PercpuStaticBytes { get; init; }

    /// <summary>Bytes of it that are kept for modules.</summary>
    public required int PercpuReservedBytes { get; init; }

    /// <summary>Pages of the many small allocations (resource names, section tables, command lines, fixed page tables) that are modelled as one.</summary>
    public required int SmallAllocationPages { get; init; }

    /// <summary>Per-CPU memory where nobody laid it out: units side by side.</summary>
    internal PercpuLayout Percpu => new(PercpuPages, PercpuStaticBytes, PercpuReservedBytes, (long)PercpuPages << PageGeometry.PageShift, []);

    /// <summary>The image of Debian's kernel for an architecture: on amd64 that of a line's kernel, elsewhere 6.1's (6.1.0-50-686, -686-pae, -arm64).</summary>
    /// <param name="architecture">The architecture.</param>
    /// <param name="line">The kernel line; null for 6.1.</param>
    internal static KernelImage Debian(Architecture architecture, KernelPersonality? line = null) => architecture switch
    {
        Architecture.X86_64 => Amd64((line ?? KernelLines.Linux6_1).Image),
        Architecture.X86_32 => new()
        {
            LoadOffset = 0x100_0000,
            Length = 0xef_6000,
            CodeKiB = 9327,
            DataKiB = 1246,
            ConstantKiB = 3188,
            InitKiB = 912,
            BssKiB = 464,
            FreedParts = [new("SMP alternatives", 0xe6_a000, 0x8000, BeforeInitcalls: true), new("unused kernel image (initmem)", 0xd8_6000, 0xe_4000)],
            StructPageBytes = 40,
            NodeDataBytes = 0,
            PercpuPages = 33,
            PercpuStaticBytes = 103316,
            PercpuReservedBytes = 0,
            SmallAllocationPages = 2,
        },
        Architecture.X86_32Pae => new()
        {
            LoadOffset = 0x100_0000,
            Length = 0xf2_4000,
            CodeKiB = 9423,
            DataKiB = 1265,
            ConstantKiB = 3188,
            InitKiB = 928,
            BssKiB = 476,
            FreedParts = [new("SMP alternatives", 0xe8_c000, 0x8000, BeforeInitcalls: true), new("unused kernel image (initmem)", 0xda_4000, 0xe_8000)],
            StructPageBytes = 40,
            NodeDataBytes = 0,
            PercpuPages = 33,
            PercpuStaticBytes = 104276,
            PercpuReservedBytes = 0,
            SmallAllocationPages = 4,
        },
        Architecture.Arm64 => new()
        {
            LoadOffset = 0x21_0000,
            Length = 0x1ff_b000,
            CodeKiB = 13248,
            DataKiB = 2806,
            ConstantKiB = 9504,
            InitKiB = 6464,
            BssKiB = 627,
            FreedParts = [new("unused kernel", 0x165_0000, 0x65_0000)],
            StructPageBytes = 64,
            NodeDataBytes = 0x3000,
            PercpuPages = Pages(31),
            PercpuStaticBytes = 87208,
            PercpuReservedBytes = 8192,
            SmallAllocationPages = Pages(14),
        },
        _ => throw new ArgumentOutOfRangeException(nameof(architecture)),
    };

    /// <summary>What a kernel with pages of 4 KiB keeps in so many of them.</summary>
    private static int Pages(int of4K) => ((of4K << 12) + PageGeometry.PageSize - 1) >> PageGeometry.PageShift;

    private static KernelImage Amd64(ImageRules rules)
    {
        const int EarlyHeapKiB = 68, PageKiB = PageGeometry.PageSize >> 10;
        int codeEnd = Math.Min(((rules.CodeKiB / PageKiB) + 1) * PageKiB, rules.ConstantAtKiB), constantEnd = rules.ConstantAtKiB + rules.ConstantKiB;
        int smpAt = rules.BssEndKiB - rules.BssKiB - PageKiB - rules.SmpAlternativesKiB, initAt = smpAt - rules.InitKiB;
        KernelImagePart[] parts =
        [
            Part("SMP alternatives", smpAt, rules.SmpAlternativesKiB) with { BeforeInitcalls = true },
            Part("unused decrypted", rules.BssEndKiB - rules.UnusedDecryptedKiB, rules.UnusedDecryptedKiB),
            Part("unused kernel image (initmem)", initAt, rules.InitKiB),
            Part("unused kernel image (text/rodata gap)", codeEnd, rules.ConstantAtKiB - codeEnd),
            Part("unused kernel image (rodata/data gap)", constantEnd, rules.DataAtKiB - constantEnd),
        ];
        return new()
        {
            LoadOffset = 0x100_0000,
            Length = (ulong)(rules.BssEndKiB + EarlyHeapKiB) << 10,
            CodeKiB = rules.CodeKiB,
            DataKiB = rules.DataKiB,
            ConstantKiB = rules.ConstantKiB,
            InitKiB = rules.InitKiB,
            BssKiB = rules.BssKiB,
            FreedParts = [.. parts.Where(part => part.Length > 0)],
            StructPageBytes = 64,
            NodeDataBytes = rules.NodeDataBytes,
            PercpuPages = rules.PercpuPages,
            PercpuStaticBytes = rules.PercpuStaticBytes,
            PercpuReservedBytes = 8192,
            SmallAllocationPages = rules.SmallAllocationPages,
        };

        static KernelImagePart Part(string what, int offsetKiB, int lengthKiB) => new(what, (ulong)offsetKiB << 10, (ulong)lengthKiB << 10);
    }
}
