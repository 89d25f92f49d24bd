using MemSim.Benchmarks.Harness;

namespace MemSim.Benchmarks.Operations;

/// <summary>The page allocator's operations: in what condition each is measured, and with which loop.</summary>
internal static class PageOperations
{
    public static IReadOnlyList<Operation> Table { get; } =
    [
        OnPcp("page_pair_o0", s => s, Pair(0)),
        OnPcp("page_pair_o3", s => s, Pair(3)),
        Plain("page_pair_o4", o => PageState.Boot(o), Pair(4)),
        OnPcp("page_pair_o9", s => s, Pair(9)),
        Plain("page_pair_o10", o => PageState.Boot(o), Pair(10)),
        Plain("page_pair_o0_split_from_o10", Splitting, Pair(0)),
        Plain("page_pair_o4_split_from_o10", Splitting, Pair(4)),
        OnPcp("page_batch1024_fifo", s => s, PagePatterns.BatchFifo, PageState.BatchPages),
        OnPcp("page_batch1024_random", s => s.WithShuffle(), PagePatterns.BatchRandom, PageState.BatchPages),
        OnPcp("page_bulk128", s => s, PagePatterns.Bulk, PagePatterns.BulkPages),
        Plain("page_churn_mixed_10k", o => PageState.Boot(o).WithLiveBlocks(10_000, mixed: true), PagePatterns.ChurnMixed),
        OnPcp("page_churn_o0_10k", s => s.WithLiveBlocks(10_000, mixed: false), PagePatterns.ChurnSingle),
        Plain("page_churn_o0_100k", o => PageState.Boot(o).WithLiveBlocks(100_000, mixed: false), PagePatterns.ChurnSingle),
        Plain("zeroed_page_pair", WithTouchedContents, PagePatterns.ZeroedPair),
        new("MemSim", "page_exhaust_recover", Exhaustion) { HasParallelForm = true },
        Plain("page_pair_o0_traced", Traced, Pair(0)),
        Plain("page_pair_o0_8G", o => PageState.Boot(o, "8G"), Pair(0)),
        Plain("page_pair_o0_numa2_local", TwoNodes, Pair(0)),
        Plain("page_pair_o0_numa2_remote", TwoNodes, (s, turns) => PagePatterns.PairOnNode(s, 1, turns)),
    ];

    private static Action<PageState, int> Pair(int order) => (state, turns) => PagePatterns.Pair(state, order, turns);

    private static Operation Plain(string name, Func<BenchmarkOptions, PageState> condition, Action<PageState, int> body, int operationsPerTurn = 1) =>
        new("MemSim", name, options => Loop(condition(options), body, operationsPerTurn)) { HasParallelForm = true };

    /// <summary>A pattern that stays on the per-CPU lists: also measured on two CPUs at once.</summary>
    private static Operation OnPcp(string name, Func<PageState, PageState> condition, Action<PageState, int> body, int operationsPerTurn = 1) =>
        Plain(name, options => condition(PageState.Boot(options)), body, operationsPerTurn) with
        {
            PrepareTwoCpus = options =>
            {
                (PageState first, PageState second) = PageState.BootTwo(options);
                return new TwoCpuWorkload(Loop(condition(first), body, operationsPerTurn), Loop(condition(second), body, operationsPerTurn), first);
            },
        };

    private static Workload Loop(PageState state, Action<PageState, int> body, int operationsPerTurn) =>
        new(turns => body(state, turns), operationsPerTurn, state);

    private static PageState Splitting(BenchmarkOptions options) => PageState.Boot(options).WithoutPerCpuLists().HoldingSmallBlocks();

    /// <summary>RAM with contents whose host memory is taken already: clearing a page that was never written would cost nothing.</summary>
    private static PageState WithTouchedContents(BenchmarkOptions options)
    {
        MachineSpec spec = MachineSpec.X86_64("256M", cpus: options.Parallel ? 2 : 1);
        PageState state = PageState.Of(options.Parallel ? spec.WithParallelCpus() : spec);
        Page page = state.Cpu.AllocPages(Gfp.Kernel);
        state.Machine.Ram.Frame(page.FrameIndex).Fill(1);
        state.Cpu.FreePages(page);
        return state;
    }

    private static PageState Traced(BenchmarkOptions options)
    {
        PageState state = PageState.Boot(options);
        state.Machine.Tracing.Attach(new CountingSink());
        return state;
    }

    private static PageState TwoNodes(BenchmarkOptions options)
    {
        MachineSpec spec = MachineSpec.X86_64("4G", cpus: 2).WithNodes(ByteSize.FromGiB(2), ByteSize.FromGiB(2)).WithoutContents();
        return PageState.Of(options.Parallel ? spec.WithParallelCpus() : spec);
    }

    private static Workload Exhaustion(BenchmarkOptions options)
    {
        PageState state = PageState.Boot(options, "256M").UntilExhaustion(out int pages);
        return Loop(state, PagePatterns.ExhaustAndRecover, pages);
    }
}
