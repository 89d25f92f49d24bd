namespace MemSim.Kernels;

/// <summary>What the page allocator does where kernels differ.</summary>
public sealed record AllocatorRules
{
    /// <summary>How the limit of per-CPU lists and the amounts moved to and from them are found.</summary>
    public PcpTuning PcpTuning { get; init; }

    /// <summary>Whether the bound from which freed small blocks are taken for a burst and drained is the batch plus half of <c>high_min</c>, not the batch alone (6.17).</summary>
    public bool BurstBoundHasHighMin { get; init; }

    /// <summary>Whether a drain after a free goes in portions of a batch, each starting with the list just freed to (6.19).</summary>
    public bool DrainsInBatches { get; init; }

    /// <summary>Whether a page in a per-CPU list keeps the type it was freed or taken as, and is drained to that type's list whatever became of its page block.</summary>
    public bool CachesTypes { get; init; } = true;

    /// <summary>Whether a free that finds the CPU inside its own per-CPU lists (it interrupted them) goes to the free lists directly.</summary>
    public bool FreesPastHeldLists { get; init; }

    /// <summary>Whether each block moved changes the counter of free pages by itself, or a refill as one sum.</summary>
    public bool CountsEachBlock { get; init; }

    /// <summary>How a request whose type has no free block gets one of another type.</summary>
    public FallbackRule Fallback { get; init; }

    /// <summary>Whether page blocks that merge with a block of another type take its type.</summary>
    public bool MergedBlocksTakeType { get; init; }

    /// <summary>Whether a zone remembers that it is below its high watermark; while it is not, requests first test that one.</summary>
    public bool RemembersBelowHigh { get; init; }

    /// <summary>Whether the last attempt is left out when it would repeat the one before (7.0).</summary>
    public bool SkipsRepeatedAttempt { get; init; }

    /// <summary>What <c>vm.defrag_mode</c> does.</summary>
    public DefragModeRule DefragMode { get; init; }

    /// <summary>Whether page blocks are kept for atomic requests of order 1 and more (since 4.4).</summary>
    public bool HasHighAtomicReserve { get; init; } = true;

    /// <summary>Whether requests that cannot wait, and victims of the OOM killer, get from that reserve what they find nowhere else (6.12; in 6.1 from 6.1.117 on).</summary>
    public bool HighAtomicIsLastResort { get; init; } = true;

    /// <summary>Whether the watermark check takes off the free pages of the reserve for high-order atomic requests, exactly counted, or all reserved ones.</summary>
    public bool CountsFreeHighAtomic { get; init; }

    /// <summary>Whether that reserve is limited to whole page blocks (none in zones with less than one in a hundred), or to 1 % plus a page block.</summary>
    public bool HighAtomicInWholeBlocks { get; init; }

    /// <summary>Whether a request with the right to that reserve refills empty per-CPU lists (until 7.0).</summary>
    public bool HighAtomicRefillsPcp { get; init; } = true;

    /// <summary>Whether its page block is reserved also when the block came from a per-CPU list (until 7.0).</summary>
    public bool ReservesAfterPcpHit { get; init; } = true;

    /// <summary>Whether such a request looks into the reserve first of all, in its first attempt (7.3).</summary>
    public bool HighAtomicFirst { get; init; }

    /// <summary>Whether the watermark check halves its limit with each order and leaves out what lies in smaller blocks (before 4.4), or asks for one block.</summary>
    public bool HalvesLimitWithOrder { get; init; }

    /// <summary>Whether every request that cannot wait goes a quarter below the limit (before 4.4), or only one of high priority.</summary>
    public bool WaitlessTriesHarder { get; init; }

    /// <summary>Whether there is a flag <c>__GFP_ATOMIC</c>, which lets order 0 ignore the boost (until 6.2); later every request of high priority may.</summary>
    public bool HasAtomicFlag { get; init; } = true;

    /// <summary>Whether <c>GFP_NOWAIT</c> contains <c>__GFP_NOWARN</c> (since 6.7).</summary>
    public bool NoWaitIsSilent { get; init; }

    /// <summary>How many bits request flags have (<c>__GFP_BITS_SHIFT</c>).</summary>
    public int GfpBits { get; init; } = 27;

    /// <summary>Whether bit 24 is <c>__GFP_NO_OBJ_EXT</c> (6.18, 7.0).</summary>
    public bool HasNoObjExt { get; init; }

    /// <summary>Whether pages in free blocks of at least a page block are counted (<c>nr_free_pages_blocks</c>, 6.17).</summary>
    public bool CountsFreeBlocks { get; init; }

    /// <summary>Whether Debian's amd64 kernel has contiguous memory areas: a migrate type of its own, isolate is 5 then instead of 4 (7.2).</summary>
    public bool HasCma { get; init; }
}

/// <summary>How the per-CPU lists of a zone adapt to the load.</summary>
public enum PcpTuning
{
    /// <summary>A fixed limit; a refill is a batch, a drain doubles with each one that no allocation interrupts (<c>free_factor</c>; 6.1).</summary>
    FixedLimit,

    /// <summary>The limit moves between two bounds; refills double (<c>alloc_factor</c>), drains follow the pages freed lately (<c>free_count</c>; since 6.7).</summary>
    MovingLimit,
}

/// <summary>How blocks of another migrate type are taken.</summary>
public enum FallbackRule
{
    /// <summary>The largest block found is stolen, with as much of its page block as there is, then the search begins anew (6.1).</summary>
    StealThenSearch,

    /// <summary>First a whole page block is claimed where most of it fits, else the smallest block is stolen alone (measured on 6.12 and later).</summary>
    ClaimThenSteal,
}

/// <summary>What <c>vm.defrag_mode</c> does.</summary>
public enum DefragModeRule
{
    /// <summary>There is no such setting.</summary>
    Absent,

    /// <summary>No attempt mixes types in page blocks: a request that may not reclaim fails instead (6.18 to 7.1).</summary>
    Strict,

    /// <summary>The last attempt may mix types if the request may wake kswapd (7.2).</summary>
    YieldsToKswapd,
}
