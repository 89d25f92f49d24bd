using BenchmarkDotNet.Attributes;

namespace MemSim.Benchmarks.Classes;

/// <summary>Pairs of every order against the host's own page-sized pairs.</summary>
public class PagePairBenchmarks : OperationBenchmarks
{
    /// <summary>Real locks, as a machine with parallel CPUs has them.</summary>
    [Params(false, true)]
    public bool Parallel { get; set; }

    [Benchmark(Baseline = true, OperationsPerInvoke = Operations)]
    public void native_memory_pair() => Run("page_pair_o0", "NativeMemory");

    [Benchmark(OperationsPerInvoke = Operations)]
    public void array_pool_pair() => Run("page_pair_o0", "ArrayPool");

    [Benchmark(OperationsPerInvoke = Operations)]
    public void page_pair_o0() => Run(nameof(page_pair_o0), parallel: Parallel);

    [Benchmark(OperationsPerInvoke = Operations)]
    public void page_pair_o3() => Run(nameof(page_pair_o3), parallel: Parallel);

    [Benchmark(OperationsPerInvoke = Operations)]
    public void page_pair_o4() => Run(nameof(page_pair_o4), parallel: Parallel);

    [Benchmark(OperationsPerInvoke = Operations)]
    public void page_pair_o9() => Run(nameof(page_pair_o9), parallel: Parallel);

    [Benchmark(OperationsPerInvoke = Operations)]
    public void page_pair_o10() => Run(nameof(page_pair_o10), parallel: Parallel);

    [Benchmark(OperationsPerInvoke = Operations)]
    public void page_pair_o0_split_from_o10() => Run(nameof(page_pair_o0_split_from_o10), parallel: Parallel);

    [Benchmark(OperationsPerInvoke = Operations)]
    public void page_pair_o4_split_from_o10() => Run(nameof(page_pair_o4_split_from_o10), parallel: Parallel);

    [Benchmark(OperationsPerInvoke = Operations)]
    public void page_pair_o0_traced() => Run(nameof(page_pair_o0_traced), parallel: Parallel);

    [Benchmark(OperationsPerInvoke = Operations)]
    public void zeroed_page_pair() => Run(nameof(zeroed_page_pair), parallel: Parallel);
}

/// <summary>Batches and bulk requests against pairs.</summary>
public class PageBatchBenchmarks : OperationBenchmarks
{
    [Benchmark(Baseline = true, OperationsPerInvoke = Operations)]
    public void page_pair_o0() => Run(nameof(page_pair_o0));

    [Benchmark(OperationsPerInvoke = Operations)]
    public void page_batch1024_fifo() => Run(nameof(page_batch1024_fifo));

    [Benchmark(OperationsPerInvoke = Operations)]
    public void page_batch1024_random() => Run(nameof(page_batch1024_random));

    [Benchmark(OperationsPerInvoke = Operations)]
    public void page_bulk128() => Run(nameof(page_bulk128));
}

/// <summary>Random replacement among many live blocks against pairs.</summary>
public class PageChurnBenchmarks : OperationBenchmarks
{
    [Benchmark(Baseline = true, OperationsPerInvoke = Operations)]
    public void page_pair_o0() => Run(nameof(page_pair_o0));

    [Benchmark(OperationsPerInvoke = Operations)]
    public void page_churn_mixed_10k() => Run(nameof(page_churn_mixed_10k));

    [Benchmark(OperationsPerInvoke = Operations)]
    public void page_churn_o0_10k() => Run(nameof(page_churn_o0_10k));

    [Benchmark(OperationsPerInvoke = Operations)]
    public void page_churn_o0_100k() => Run(nameof(page_churn_o0_100k));
}
