using System.Numerics;
using MemSim.Kernels;

namespace MemSim.Slab;

/// <summary>The figures of an architecture, kernel and machine that decide how caches are laid out.</summary>
/// <remarks>Kernel: <c>cache_line_size()</c>, <c>ARCH_KMALLOC_MINALIGN</c>, <c>arch_slab_minalign()</c>, <c>slub_max_order</c>, <c>struct track</c>.</remarks>
internal sealed record SlabRules
{
    /// <summary>More objects a slab cannot have: a SLUB slab counts them in 15 bits.</summary>
    public const int MaxObjectsPerSlab = 32767;

    /// <summary>The largest object of a cache, and the largest kmalloc: 4 MiB.</summary>
    public const int MaxSize = PageGeometry.PageSize << PageGeometry.MaxOrder;

    public required int WordBytes { get; init; }

    public required int CacheLineBytes { get; init; }

    /// <summary>The cache line assumed before the CPU was asked: for the kernel's own first caches.</summary>
    public int BootCacheLineBytes { get; init; } = 64;

    /// <summary>The least alignment of any object.</summary>
    public required int MinAlign { get; init; }

    /// <summary>The least alignment, and the least size, of a kmalloc object.</summary>
    public required int KmallocMinAlign { get; init; }

    /// <summary>Bytes of the record of one allocation or free (<c>struct track</c>).</summary>
    public required int TrackBytes { get; init; }

    /// <summary>CPUs that decide how many objects a slab should have.</summary>
    public required int Cpus { get; init; }

    public required KernelPersonality Personality { get; init; }

    /// <summary>The kernel line's rules of slabs.</summary>
    public SlabLineRules SlabLine => Personality.Slab;

    /// <summary>Whether CPUs have current slabs, and partial lists of them (until 6.19).</summary>
    public bool HasCpuSlabs => SlabLine.Sheaves != SheafRule.Everywhere;

    /// <summary>Whether slabs have a wide compare-and-swap (64-bit, and 32-bit x86 with CX8).</summary>
    public bool HasCmpxchgDouble { get; init; } = true;

    /// <summary><c>slub_min_order</c>.</summary>
    public int MinOrder { get; init; }

    /// <summary><c>slub_max_order</c>.</summary>
    public int MaxOrder { get; init; } = PageGeometry.CostlyOrder;

    /// <summary><c>slub_min_objects</c>; 0 to derive it from the CPUs.</summary>
    public int MinObjects { get; init; }

    /// <summary><c>slab_max_order</c>; null to derive it from the memory.</summary>
    public int? ClassicMaxOrder { get; init; }

    public static SlabRules For(Architecture architecture, KernelPersonality personality, int cpus)
    {
        ArchitectureInfo info = ArchitectureInfo.Of(architecture);
        bool wide = info.Bits == 64;
        return new SlabRules
        {
            WordBytes = info.Bits / 8,
            CacheLineBytes = architecture == Architecture.X86_32 ? 32 : 64,
            BootCacheLineBytes = architecture switch { Architecture.X86_32 => 32, Architecture.Arm64 => 128, _ => 64 },
            MinAlign = 8,
            KmallocMinAlign = architecture == Architecture.Arm64 ? 128 : 8,
            TrackBytes = wide ? 32 : 20,
            Cpus = cpus,
            Personality = personality,
        };
    }

    /// <summary>Bytes of the kernel's own <c>struct kmem_cache_node</c> and <c>struct kmem_cache</c>.</summary>
    public static (int Node, int Cache) OwnObjects(Architecture architecture, int nodes, SlabLineRules rules) => architecture switch
    {
        Architecture.X86_64 or Architecture.Arm64 => (rules.NodeBytes, rules.CacheBytes + (8 * nodes)),
        _ => (32, 136 + (4 * nodes)),
    };

    /// <summary>The alignment of a cache's objects (<c>calculate_alignment()</c>): small objects share a cache line evenly.</summary>
    public int CalculateAlignment(SlabFlags flags, int align, int size) => CalculateAlignment(flags, align, size, CacheLineBytes);

    /// <summary>The alignment for a cache line of another length.</summary>
    public int CalculateAlignment(SlabFlags flags, int align, int size, int line)
    {
        if ((flags & SlabFlags.HwCacheAlign) != 0)
        {
            while (size <= line / 2)
            {
                line /= 2;
            }

            align = Math.Max(align, line);
        }

        return AlignUp(Math.Max(align, MinAlign), WordBytes);
    }

    /// <summary>The alignment of a kmalloc class: powers of two are aligned to themselves; from 6.11 on others to their largest power of two.</summary>
    public int KmallocAlign(int size)
    {
        bool power = (size & (size - 1)) == 0;
        int natural = power || Personality.Slab.OrderIgnoresFewerObjects ? size & -size : 0;
        return CalculateAlignment(SlabFlags.None, Math.Max(KmallocMinAlign, natural), size);
    }

    public static int AlignUp(int value, int align) => (value + align - 1) & -align;

    /// <summary>The order of the smallest block that holds so many bytes (<c>get_order()</c>).</summary>
    public static int OrderOf(long bytes) => bytes <= PageGeometry.PageSize ? 0 : BitOperations.Log2((ulong)(bytes - 1)) + 1 - PageGeometry.PageShift;

    public static int ObjectsIn(int order, int size) => (int)(((long)PageGeometry.PageSize << order) / size);
}
