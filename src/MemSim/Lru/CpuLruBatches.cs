using System.Diagnostics;
using System.Runtime.CompilerServices;
using MemSim.Hardware;

namespace MemSim.Lru;

/// <summary>What a CPU has still to do with pages' places on the lists (<c>struct cpu_fbatches</c>): so many pages of a kind are moved under one lock.</summary>
internal sealed class CpuLruBatches(int pages)
{
    /// <summary>The most pages in a batch of any kernel.</summary>
    public const int MaxPages = 31;

    /// <summary>Pages in a batch (<c>PAGEVEC_SIZE</c>).</summary>
    public readonly int BatchPages = pages;

    private readonly int[] _pages = new int[(int)LruBatch.Count * pages];
    private readonly int[] _counts = new int[(int)LruBatch.Count];
    // Guards _pages and _counts: another CPU may drain them.
    private PaddedLock _lock;

    /// <summary>For which cgroup's limit this CPU reclaims now; 0 for the machine's memory.</summary>
    public int EvictionCgroup { get; set; }

    /// <summary>Whether reclaim on this CPU has a walk of page tables at hand, so that what reverse mapping finds used goes to the youngest generation at once (<c>mm_walk</c>).</summary>
    public bool HasWalk;

    /// <summary>Whether the CPU serves a page fault of an area in which use says something about use to come (<c>in_lru_fault</c>).</summary>
    public bool InFault;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ref int CountOf(LruBatch batch) => ref _counts[(int)batch];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Span<int> PagesOf(LruBatch batch) => new(_pages, (int)batch * BatchPages, BatchPages);

    /// <summary>Adds a page to a batch that has room.</summary>
    /// <returns>How many pages it has now.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Push(LruBatch batch, int pfn)
    {
        ref int count = ref _counts[(int)batch];
        Debug.Assert((uint)count < (uint)BatchPages, "the batch has room");
        _pages[((int)batch * BatchPages) + count] = pfn;
        return ++count;
    }

    /// <summary>Lets somebody else than the host decide who gets the lock.</summary>
    public void Watch(IInterleaver? interleaver) => _lock.Watch(interleaver?.Watch("CpuLruBatches._lock"));

    public void Enter() => _lock.Enter();

    public void Exit() => _lock.Exit();
}

/// <summary>The batches of a CPU, in the order in which they are drained.</summary>
internal enum LruBatch
{
    /// <summary>Pages to put on a list (<c>lru_add</c>).</summary>
    Add,

    /// <summary>Written pages to be reclaimed next (<c>lru_rotate</c>).</summary>
    Rotate,

    /// <summary>File pages that could not be invalidated (<c>lru_deactivate_file</c>).</summary>
    DeactivateFile,

    /// <summary>Pages to make inactive (<c>lru_deactivate</c>).</summary>
    Deactivate,

    /// <summary>Anonymous pages whose contents are not needed any more (<c>lru_lazyfree</c>).</summary>
    LazyFree,

    /// <summary>Pages to make active (<c>activate</c>).</summary>
    Activate,

    /// <summary>How many there are.</summary>
    Count,
}
