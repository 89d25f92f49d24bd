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
        .. Faults.Table,
        .. CompactionOperations.Table,
        .. SwapOperations.Table,
        .. Files.Table,
        .. ReclaimOperations.Table,
        .. Pressure.Table,
        .. KernelMemoryOperations.Table,
    ];

    /// <summary>The operations whose name matches a pattern with <c>*</c> and <c>?</c>; a pattern without them matches names that begin with it.</summary>
    public static IEnumerable<Operation> Matching(string? pattern)
    {
        string expression = pattern is null ? "*" : pattern.AsSpan().ContainsAny('*', '?') ? pattern : pattern + "*";
        return All.Where(o => FileSystemName.MatchesSimpleExpression(expression, o.Name, ignoreCase: false));
    }
}
