namespace MemSim.Statistics;

/// <summary>On which kernels a line of a file exists; none of the bits: on all.</summary>
[Flags]
internal enum Presence
{
    Always = 0,

    /// <summary>64-bit kernels, which are built for several nodes.</summary>
    Numa = 1,

    /// <summary>6.12 and later.</summary>
    Newer = 2,

    /// <summary>Before 6.12.</summary>
    Older = 4,

    /// <summary>Kernels with contiguous memory areas (arm64).</summary>
    Cma = 8,

    /// <summary>x86, 32 and 64 bits.</summary>
    X86 = 16,

    /// <summary>x86, 64 bits.</summary>
    X86With64Bits = 32,

    /// <summary>6.18 and later.</summary>
    Since6_18 = 64,

    /// <summary>Before 6.18.</summary>
    Before6_18 = 128,

    /// <summary>7.1 and later.</summary>
    Since7_1 = 256,

    /// <summary>Before 7.1.</summary>
    Before7_1 = 512,

    /// <summary>7.3 and later.</summary>
    Since7_3 = 1024,
}
