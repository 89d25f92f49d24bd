using MemSim.Kernels;

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

/// <summary>What of the kernel's build and version the files depend on.</summary>
internal static class KernelBuild
{
    /// <summary>Whether the kernel is built for several nodes, even where it has one: Debian's 64-bit kernels.</summary>
    public static bool HasNuma(Machine machine) => machine.Architecture.Bits == 64;

    /// <summary>Whether the kernel is 6.12 or later.</summary>
    public static bool IsNewer(Machine machine) => HasRowsOf(machine, RowSet.Of6_12);

    /// <summary>Whether the kernel prints the rows of a line, or of a later one.</summary>
    public static bool HasRowsOf(Machine machine, RowSet rows) => machine.Personality.Views.Rows >= rows;

    /// <summary>Whether a line exists on this machine.</summary>
    public static bool Prints(Machine machine, Presence only) =>
        (!only.HasFlag(Presence.Numa) || HasNuma(machine))
        && (!only.HasFlag(Presence.Newer) || IsNewer(machine))
        && (!only.HasFlag(Presence.Older) || !IsNewer(machine))
        && (!only.HasFlag(Presence.Since6_18) || HasRowsOf(machine, RowSet.Of6_18))
        && (!only.HasFlag(Presence.Before6_18) || !HasRowsOf(machine, RowSet.Of6_18))
        && (!only.HasFlag(Presence.Since7_1) || HasRowsOf(machine, RowSet.Of7_1))
        && (!only.HasFlag(Presence.Before7_1) || !HasRowsOf(machine, RowSet.Of7_1))
        && (!only.HasFlag(Presence.Since7_3) || HasRowsOf(machine, RowSet.Of7_3))
        && (!only.HasFlag(Presence.Cma) || machine.Cma.IsConfigured)
        && (!only.HasFlag(Presence.X86) || machine.Architecture.Architecture != Architecture.Arm64)
        && (!only.HasFlag(Presence.X86With64Bits) || machine.Architecture.Architecture == Architecture.X86_64);

    /// <summary>Base pages in a huge page of the page tables' second level.</summary>
    public static long HugePagePages(Machine machine) => 1L << machine.Architecture.PageblockOrder;

    /// <summary>Whether the kernel counts a zone as high memory: HighMem, and Movable where it was cut out of HighMem.</summary>
    public static bool IsHighMemory(Machine machine, Zone zone) =>
        zone.Type == ZoneType.HighMem
        || (zone.Type == ZoneType.Movable && zone.Node.Zones.Any(z => z.Type == ZoneType.HighMem && z.IsPopulated) && machine.Architecture.Bits == 32);
}
