using MemSim.Lru;

namespace MemSim.Reclaim;

/// <summary>What one run of reclaim wants, may do and has found so far (<c>struct scan_control</c>). Reused: it holds the room for the pages in hand.</summary>
internal sealed class ScanControl
{
    /// <summary>Pages handled at a time (<c>SWAP_CLUSTER_MAX</c>).</summary>
    public const int ClusterPages = IPageOut.ClusterPages;

    /// <summary>The priority a run starts with: 1/4096 of each list is scanned (<c>DEF_PRIORITY</c>).</summary>
    public const int DefaultPriority = 12;

    /// <summary>Pages taken off a list: a cluster, or a batch of a generation.</summary>
    public readonly int[] Pages = new int[LruGenerations.MinBatch];

    /// <summary>Of those, the ones that go back.</summary>
    public readonly int[] Kept = new int[LruGenerations.MinBatch];

    /// <summary>Of those, the ones that are freed, or that become inactive.</summary>
    public readonly int[] Others = new int[LruGenerations.MinBatch];

    /// <summary>Of those, the ones that go to a slower node.</summary>
    public readonly List<int> Demoted = [];

    /// <summary>Pages left to scan, by list.</summary>
    public readonly long[] Left = new long[4];

    /// <summary>Pages that were to be scanned, by list.</summary>
    public readonly long[] Targets = new long[4];

    /// <summary>The lists at work in this pass; null before the first pass.</summary>
    public LruVec? Lists;

    /// <summary>Whether what follows the scan of those lists was done.</summary>
    public bool ListsAreDone;

    /// <summary>The cgroup whose limit wants memory, by its number; null when the machine does (<c>target_mem_cgroup</c>).</summary>
    public int? Target;

    /// <summary>The swappiness that user space asked for; null for the machine's.</summary>
    public int? Swappiness;

    /// <summary>Whether user space asked for this run (<c>memory.reclaim</c>).</summary>
    public bool IsProactive;

    /// <summary>Whether the walk over cgroups may end when enough is reclaimed.</summary>
    public bool IsPartial;

    /// <summary>By generations: whether cgroups take turns in this pass.</summary>
    public bool TakesTurns;

    /// <summary>By generations: the queue of cgroups with which the pass began.</summary>
    public long TurnSequence;

    /// <summary>By generations: whether a generation was added to the lists at hand.</summary>
    public bool HasAged;

    /// <summary>Whether every walk visits all cgroups from now on (<c>memcg_full_walk</c>).</summary>
    public bool WalksAll;

    /// <summary>Whether <c>memory.low</c> does not count any more (<c>memcg_low_reclaim</c>).</summary>
    public bool TakesLow;

    /// <summary>Whether something was spared for <c>memory.low</c> (<c>memcg_low_skipped</c>).</summary>
    public bool SkippedLow;

    public Gfp Gfp;
    public int Order;
    public int Priority;
    public int ReclaimIndex;
    public long ToReclaim;
    public bool IsKswapd;
    public bool MayWrite;
    public bool MayUnmap;
    public bool MaySwap;
    public bool ForceDeactivate;
    public bool SkippedDeactivate;
    public bool DeactivateAnon;
    public bool DeactivateFile;
    public bool CacheTrim;
    public bool FileIsTiny;
    public bool CompactionReady;

    /// <summary>By generations: pages of the lists at hand left to look at, pages looked at, and whether there is nothing to be had.</summary>
    public long EvictionLeft;
    public long EvictionDone;
    public bool EvictionIsOver;

    /// <summary>By generations: whether there is a walk of page tables at hand: on behalf of the machine or of user space always, else once a generation was added.</summary>
    public bool HasWalk;

    /// <summary>By generations: what this pass gives anonymous pages, 0 to 201.</summary>
    public int PassSwappiness;

    /// <summary>Whether the machine is short of memory, not a cgroup (<c>root_reclaim()</c>).</summary>
    public bool IsGlobal => Target is null;

    /// <summary>Whether pages may go to slower nodes (<c>!no_demotion</c>).</summary>
    public bool MayDemote;

    /// <summary>Whether use since the last look does not matter: the frames are wanted, not just any.</summary>
    public bool IgnoresUse;
    public long AnonCost;
    public long FileCost;
    public long Scanned;
    public long Reclaimed;

    /// <summary>Parts of huge pages swapped out and freed, beside the pages in hand.</summary>
    public long PartsFreed;

    /// <summary>What was reclaimed before this pass over the node.</summary>
    public long ReclaimedBefore;

    /// <summary>What was scanned before this pass over the node.</summary>
    public long ScannedBefore;

    /// <summary>What this pass took off the lists so far.</summary>
    public long PassFreed;

    /// <summary>Whether a pass over the node freed anything.</summary>
    public bool IsReclaimable;

    /// <summary>What this pass over the node found.</summary>
    public ScanFindings Found;

    /// <summary>Begins another run.</summary>
    public void Start(Gfp gfp, int order, int reclaimIndex, long toReclaim, bool isKswapd)
    {
        Gfp = gfp;
        Order = order;
        Priority = DefaultPriority;
        ReclaimIndex = reclaimIndex;
        ToReclaim = toReclaim;
        IsKswapd = isKswapd;
        MayWrite = MayUnmap = MaySwap = MayDemote = true;
        ForceDeactivate = SkippedDeactivate = DeactivateAnon = DeactivateFile = false;
        CacheTrim = FileIsTiny = CompactionReady = IgnoresUse = false;
        AnonCost = FileCost = Scanned = Reclaimed = 0;
        Found = default;
        Lists = null;
        Target = null;
        Swappiness = null;
        IsProactive = IsPartial = WalksAll = TakesLow = SkippedLow = false;
    }

    /// <summary>Whether an inactive page may be written and unmapped through a file system (<c>may_enter_fs()</c>).</summary>
    public bool MayEnterFileSystem(in Pages.PageFrame frame) => (Gfp & Gfp.Fs) != 0 || (frame.InSwapCache && (Gfp & Gfp.Io) != 0);
}

/// <summary>What shrinking found among the pages it took (<c>struct reclaim_stat</c> and <c>scan_control.nr</c>), in pages.</summary>
internal struct ScanFindings
{
    public long Dirty;
    public long UnqueuedDirty;
    public long Congested;
    public long Writeback;
    public long Immediate;
    public long PagedOut;
    public long ActivatedAnon;
    public long ActivatedFile;
    public long ReferencedKept;
    public long UnmapFailed;
    public long Taken;
    public long FileTaken;

    public void Add(in ScanFindings other)
    {
        Dirty += other.Dirty;
        UnqueuedDirty += other.UnqueuedDirty;
        Congested += other.Congested;
        Writeback += other.Writeback;
        Immediate += other.Immediate;
        Taken += other.Taken;
        FileTaken += other.FileTaken;
    }
}
