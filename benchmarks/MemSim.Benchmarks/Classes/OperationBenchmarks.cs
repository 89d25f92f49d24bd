using BenchmarkDotNet.Attributes;
using MemSim.Benchmarks.Harness;

namespace MemSim.Benchmarks.Classes;

/// <summary>What BenchmarkDotNet's classes share: each method runs the table's operation of its own name.</summary>
[MemoryDiagnoser]
public abstract class OperationBenchmarks
{
    /// <summary>Operations in one call, whatever the pattern.</summary>
    protected const int Operations = 4096;

    private Workload? _work;

    [GlobalCleanup]
    public void Cleanup() => _work?.Dispose();

    /// <summary>Runs a pattern for <see cref="Operations"/> operations; the first call makes its condition.</summary>
    protected void Run(string name, string subject = "MemSim", bool parallel = false)
    {
        _work ??= OperationTable.All.Single(o => o.Name == name && o.Subject == subject).Prepare(new BenchmarkOptions(parallel));
        _work.RunWhole(Operations / _work.OperationsPerTurn);
    }
}
