using MemSim.Compaction;
using MemSim.Diagnostics;

namespace MemSim;

/// <summary>What compaction remembers of a zone.</summary>
/// <param name="CachedFreePfn">Where the free scanner goes on; 0 before the first run.</param>
/// <param name="CachedMigratePfnAsync">Where asynchronous migration scanners go on.</param>
/// <param name="CachedMigratePfnSync">Where synchronous ones do.</param>
/// <param name="Considered">Runs put off since compaction last failed.</param>
/// <param name="DeferShift">log2 of how many runs are put off after a failure.</param>
/// <param name="OrderFailed">From this order on runs are put off.</param>
/// <param name="SkippedPageblocks">Page blocks marked as not worth a look.</param>
/// <remarks>Kernel: the <c>compact_*</c> fields of <c>struct zone</c>.</remarks>
public readonly record struct CompactionInfo(
    long CachedFreePfn,
    long CachedMigratePfnAsync,
    long CachedMigratePfnSync,
    int Considered,
    int DeferShift,
    int OrderFailed,
    int SkippedPageblocks);

/// <content>Compaction.</content>
public sealed partial class Machine
{
    /// <summary>Compaction; made when first asked for.</summary>
    internal Compactor Compactor { get; private set; } = null!;

    /// <summary>The tracepoints of compaction, migration and CMA when somebody listens, else null.</summary>
    internal CompactionTracepoints? CompactionTrace { get; private set; }

    /// <summary>Attaches a receiver of the tracepoints of compaction, page migration and contiguous memory areas.</summary>
    /// <param name="sink">The receiver.</param>
    public void AttachCompactionTrace(ICompactionTraceSink sink)
    {
        ArgumentNullException.ThrowIfNull(sink);
        ThrowIfDisposed();
        (CompactionTrace ??= new CompactionTracepoints()).Attach(sink);
    }

    /// <summary>Detaches a receiver; nothing happens when it is not attached.</summary>
    /// <param name="sink">The receiver.</param>
    public void DetachCompactionTrace(ICompactionTraceSink sink)
    {
        ArgumentNullException.ThrowIfNull(sink);
        if (CompactionTrace?.Detach(sink) == true)
        {
            CompactionTrace = null;
        }
    }

    /// <summary>Compacts all zones of a node as far as possible (<c>/sys/devices/system/node/nodeN/compact</c>).</summary>
    /// <param name="node">The node.</param>
    public void CompactNode(Node node)
    {
        using Callouts.OperationScope operation = Callouts.Enter();
        ArgumentNullException.ThrowIfNull(node);
        ThrowIfDisposed();
        Compactor.CompactNode(FirstOnlineCpu(), Owned(node));
    }

    /// <summary>Compacts all nodes, as a write to <c>/proc/sys/vm/compact_memory</c> does.</summary>
    public void CompactMemory()
    {
        using Callouts.OperationScope operation = Callouts.Enter();
        ThrowIfDisposed();
        Migrator.DrainAllLru(CallersCpu());
        foreach (Node node in _nodes)
        {
            Compactor.CompactNode(FirstOnlineCpu(), node);
        }
    }

    /// <summary>Lets half a second pass for the kcompactd threads: what was asked of them and not done is done, and fragmented nodes are compacted by themselves.</summary>
    /// <remarks><see cref="AdvanceTime"/> does this every half second, once memory was compacted for any reason; this call does it without time passing for others (<c>vm.compaction_proactiveness</c>).</remarks>
    public void TickKcompactd()
    {
        using Callouts.OperationScope operation = Callouts.Enter();
        ThrowIfDisposed();
        foreach (Node node in _nodes)
        {
            if (node.Zones.Any(zone => zone.IsPopulated))
            {
                Compactor.Daemon(node).Tick(FirstOnlineCpu(), left: 1);
            }
        }
    }

    /// <summary>What compaction remembers of a zone; all zeroes while it never ran there.</summary>
    /// <param name="zone">A zone of this machine.</param>
    public CompactionInfo CompactionInfo(Zone zone)
    {
        ArgumentNullException.ThrowIfNull(zone);
        ThrowIfDisposed();
        return Owned(zone).Compaction is not { } state
            ? default
            : new CompactionInfo(state.CachedFreePfn, state.CachedMigratePfnAsync, state.CachedMigratePfnSync, state.Considered, state.DeferShift, state.OrderFailed, state.SkippedBlocks);
    }

    /// <summary>How fragmented a node is, 0 to 100: the part of its free memory that is in blocks smaller than a huge page, by zone size.</summary>
    /// <param name="node">The node.</param>
    public int FragmentationScore(Node node)
    {
        ArgumentNullException.ThrowIfNull(node);
        ThrowIfDisposed();
        return Suitability.Score(Owned(node));
    }

    private Node Owned(Node node) => _nodes.Contains(node) ? node : throw new ArgumentException($"{node} belongs to another machine", nameof(node));

    private Cpu FirstOnlineCpu() => CallersCpu();

    private void VerifyCompaction()
    {
        foreach (Zone zone in _zones)
        {
            if (zone.Compaction is not { } state)
            {
                continue;
            }

            if (state.IsBusy)
            {
                BugReporter.Corrupt($"{zone}: marked as being compacted although nobody is");
            }

            foreach (int pfn in (ReadOnlySpan<int>)[state.CachedFreePfn, state.CachedMigratePfnAsync, state.CachedMigratePfnSync])
            {
                // One block beyond the zone is where 6.1 leaves a migration scanner that reached the end.
                if (pfn != 0 && (pfn < (zone.StartPfn.Value & ~((1L << PageblockOrder) - 1)) || pfn > zone.EndPfn.Value + (1L << PageblockOrder)))
                {
                    BugReporter.Corrupt($"{zone}: a compaction scanner stands at pfn 0x{pfn:x}, outside of the zone");
                }
            }
        }

        if (Migrator.IsolatedMovable != 0)
        {
            BugReporter.Corrupt($"{Migrator.IsolatedMovable} driver pages are isolated although nobody migrates");
        }

        foreach (Node node in _nodes)
        {
            if (node.Counters.IsolatedAnon != 0 || node.Counters.IsolatedFile != 0)
            {
                BugReporter.Corrupt($"{node}: {node.Counters.IsolatedAnon} anonymous and {node.Counters.IsolatedFile} file pages are counted as isolated although nobody reclaims or migrates");
            }
        }
    }
}
