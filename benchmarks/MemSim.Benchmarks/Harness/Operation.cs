namespace MemSim.Benchmarks.Harness;

/// <summary>One line of the table: a name, how to get into the stated condition, and the loop that is measured.</summary>
/// <param name="Subject">What is measured: <c>MemSim</c>, or a point of reference.</param>
/// <param name="Name">The operation's name, the same everywhere.</param>
/// <param name="Prepare">Makes the condition; disposed after the last sample.</param>
internal sealed record Operation(string Subject, string Name, Func<BenchmarkOptions, Workload> Prepare)
{
    /// <summary>How it is run by two CPUs at once; null where that is not measured.</summary>
    public Func<BenchmarkOptions, TwoCpuWorkload>? PrepareTwoCpus { get; init; }

    /// <summary>Whether a machine with real locks is another subject of measurement.</summary>
    public bool HasParallelForm { get; init; }
}

/// <summary>What the command line chose.</summary>
/// <param name="Parallel">Machines with real locks.</param>
internal sealed record BenchmarkOptions(bool Parallel);

/// <summary>A loop ready to run.</summary>
/// <param name="Run">Runs the pattern so many times; a method of its own that nothing inlines.</param>
/// <param name="OperationsPerTurn">Operations in one turn of the loop.</param>
/// <param name="Release">What to dispose.</param>
internal sealed record Workload(Action<int> Run, int OperationsPerTurn = 1, IDisposable? Release = null) : IDisposable
{
    /// <summary>Done after every turn, outside of the time measured: restores the condition. Turns are then timed one by one, so they should take microseconds.</summary>
    public Action? Between { get; init; }

    /// <summary>Runs the pattern so many times, the condition restored each time.</summary>
    public void RunWhole(int turns)
    {
        if (Between is null)
        {
            Run(turns);
            return;
        }

        for (int turn = 0; turn < turns; turn++)
        {
            Run(1);
            Between();
        }
    }

    /// <summary>Said beside the figures after the run, such as host memory taken.</summary>
    public Func<string>? Remark { get; init; }

    public void Dispose() => Release?.Dispose();
}

/// <summary>The same pattern on two CPUs of one machine, each driven by its own host thread.</summary>
/// <param name="First">The pattern on CPU 0.</param>
/// <param name="Second">The pattern on CPU 1.</param>
/// <param name="Release">What to dispose.</param>
internal sealed record TwoCpuWorkload(Workload First, Workload Second, IDisposable Release) : IDisposable
{
    public void Dispose() => Release.Dispose();
}
