using MemSim.Kernels;
using MemSim.Statistics;

namespace MemSim.Observability;

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

    /// <summary>Whether a row exists on this machine, by where it exists and by the options of the build.</summary>
    public static bool Prints(Machine machine, string row, Presence only) => Prints(machine, only) && Has(machine, row);

    /// <summary>Whether the kernel was built with what a row tells of.</summary>
    public static bool Has(Machine machine, string row) => machine.Personality.Views.AbsentRows.IsEmpty || !machine.Personality.Views.AbsentRows.Contains(row);

    /// <summary>Base pages in a huge page of the page tables' second level.</summary>
    public static long HugePagePages(Machine machine) => 1L << machine.Architecture.PageblockOrder;
}
