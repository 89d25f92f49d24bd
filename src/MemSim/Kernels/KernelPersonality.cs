namespace MemSim.Kernels;

/// <summary>The rules of one kernel line, as data: what a simulated machine does where kernels differ.</summary>
/// <remarks>
/// <see cref="KernelLines"/> has the lines that were recorded; <see cref="KernelChoice"/> finds the one for a version. A line of your own is one of them with
/// other values: <c>KernelLines.Linux6_18 with { ... }</c>. Mechanisms never ask for a version, they ask for a rule.
/// </remarks>
public sealed record KernelPersonality
{
    internal KernelPersonality()
    {
    }

    /// <summary>The name of the line, major and minor number: <c>6.1</c>, <c>7.3</c>.</summary>
    public required string Name { get; init; }

    /// <summary>The kernel whose behaviour was recorded for this line; empty where nothing was.</summary>
    public string Recorded { get; init; } = "";

    /// <summary>Watermarks, lowmem reserves and the limits of per-CPU lists.</summary>
    public ReserveRules Reserves { get; init; } = new();

    /// <summary>The page allocator: per-CPU lists, fallback, reserve of high-order atomic requests.</summary>
    public AllocatorRules Allocator { get; init; } = new();

    /// <summary>Reclaim: active and inactive lists, or generations.</summary>
    public ReclaimRules Reclaim { get; init; } = new();

    /// <summary>Kernel stacks, areas of vmalloc, the kernel image, swap areas.</summary>
    public KernelMemoryRules KernelMemory { get; init; } = new();

    /// <summary>The kernel image on amd64: sizes of its parts, what of it is freed, what it allocates early.</summary>
    public ImageRules Image { get; init; } = new();

    /// <summary>Areas of address spaces and the calls on them.</summary>
    public AreaRules Areas { get; init; } = new();

    /// <summary>Slab caches.</summary>
    public SlabLineRules Slab { get; init; } = new();

    /// <summary>Sizes of the kernel's own objects.</summary>
    public ObjectRules Objects { get; init; } = new();

    /// <summary>Memory cgroups: stocks, walks, files.</summary>
    public CgroupRules Cgroups { get; init; } = new();

    /// <summary>Compressed memory: zsmalloc, zram, zswap.</summary>
    public CompressedMemoryRules CompressedMemory { get; init; } = new();

    /// <summary>Merging of equal pages (KSM).</summary>
    public KsmRules Ksm { get; init; } = new();

    /// <summary>Files of <c>/proc</c> and reports: which rows there are and how they are written.</summary>
    public ViewRules Views { get; init; } = new();

    /// <summary>Texts of tracepoints and flags.</summary>
    public TraceRules Traces { get; init; } = new();

    /// <summary>The line for the kernel that a text names, the nearest one where the version is another.</summary>
    /// <param name="text">The text of <c>uname -a</c>, <c>uname -r</c>, <c>/proc/version</c> or the first line of a boot log.</param>
    /// <exception cref="FormatException">No version number is in the text.</exception>
    public static KernelPersonality Parse(string text) => KernelChoice.For(text).Line;

    /// <summary>The rules of a kernel that was built without some options: rows of <c>/proc</c> files, and files below <c>/proc/sys/vm</c>, that go with them are not there. What the options do beside is simulated all the same.</summary>
    /// <remarks>The twin of a captured machine has the rows of its files without being told.</remarks>
    /// <param name="options">Options like <c>CONFIG_UNACCEPTED_MEMORY</c> or <c>CONFIG_MEMORY_FAILURE</c>, with or without <c>CONFIG_</c>.</param>
    /// <exception cref="ArgumentException">No row is known to depend on an option of that name.</exception>
    public KernelPersonality WithoutOptions(params IReadOnlyList<string> options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return BuildOptions.Without(this, options);
    }

    /// <summary>The name with its kernel, e.g. <c>Linux 6.1</c>.</summary>
    public override string ToString() => "Linux " + Name;
}
