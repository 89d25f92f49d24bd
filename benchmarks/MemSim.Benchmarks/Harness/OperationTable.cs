using System.IO.Enumeration;
using MemSim.Benchmarks.Operations;

namespace MemSim.Benchmarks.Harness;

/// <summary>Everything that can be measured, in the order it is printed. A subsystem adds its file's table here.</summary>
internal static class OperationTable
{
    public static IReadOnlyList<Operation> All { get; } =
    [
        .. ReferenceOperations.Table,
        .. PageOperations.Table,
        .. BootOperations.Table,
        .. SlabOperations.Table,
        .. MmuOperations.Table,
        .. Operations.Faults.Table,
        .. Operations.Snapshots.Table,
        .. CompactionOperations.Table,
        .. SwapOperations.Table,
        .. Files.Table,
        .. ReclaimOperations.Table,
        .. Pressure.Table,
        .. KernelMemoryOperations.Table,
    ];

    /// <summary>The operations whose name matches one of some patterns with <c>*</c> and <c>?</c>, separated by commas; a pattern without them matches names that begin with it.</summary>
    public static IEnumerable<Operation> Matching(string? patterns)
    {
        string[] expressions = [.. (patterns ?? "*").Split(',').Select(p => p.AsSpan().ContainsAny('*', '?') ? p : p + "*")];
        return All.Where(o => expressions.Any(e => FileSystemName.MatchesSimpleExpression(e, o.Name, ignoreCase: false)));
    }
}
