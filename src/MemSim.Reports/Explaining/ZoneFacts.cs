using MemSim.Reports.Kernels;

namespace MemSim.Reports.Explaining;

/// <summary>What a request asks for and may do.</summary>
/// <param name="Order">log2 of the pages.</param>
/// <param name="Gfp">Its flags.</param>
internal readonly record struct RequestFacts(int Order, Gfp Gfp)
{
    public bool CanReclaim => (Gfp & Gfp.DirectReclaim) != 0;

    public bool IsMovable => (Gfp & Gfp.Movable) != 0;

    private bool IsHigh => (Gfp & Gfp.High) != 0;

    private bool MayReserve => (Gfp & Gfp.NoMemAlloc) == 0;

    /// <summary>Whether watermarks do not bind it at all.</summary>
    public bool IgnoresWatermarks => (Gfp & Gfp.MemAlloc) != 0 && MayReserve;

    /// <summary>Whether it may go a quarter further below the limit.</summary>
    public bool TriesHarder(KernelRule rules) => MayReserve && (
        ((rules & KernelRule.WaitlessTriesHarder) != 0 && !CanReclaim)
        || ((rules & KernelRule.AtomicTriesHarder) != 0 && (Gfp & Gfp.AtomicBit) != 0)
        || ((rules & KernelRule.RightsKeepHighAtomic) != 0 && !CanReclaim && IsHigh));

    /// <summary>Whether the highatomic reserve counts for it.</summary>
    public bool CountsHighAtomic(KernelRule rules) =>
        (rules & KernelRule.RightsKeepHighAtomic) != 0 ? IsHigh || (!CanReclaim && MayReserve) : TriesHarder(rules);

    /// <summary>Whether it may take from highatomic blocks.</summary>
    public bool TakesHighAtomic(KernelRule rules)
    {
        if ((rules & KernelRule.HighAtomicReserve) == 0)
        {
            return false;
        }

        bool high = (rules & KernelRule.RightsKeepHighAtomic) != 0 ? !CanReclaim && IsHigh && MayReserve : TriesHarder(rules);
        // Above order 0 the watermark check does not see these blocks for requests that merely cannot wait.
        return Order > 0 ? high : (rules & KernelRule.NonBlockTakesHighAtomic) != 0 && !CanReclaim && MayReserve;
    }

    /// <summary>Whether CMA's pages count and may be taken.</summary>
    public bool TakesCma(KernelRule rules) => IsMovable || (rules & KernelRule.Cma) == 0;

    /// <summary>What the rights leave of a watermark.</summary>
    public long Lowered(long mark, KernelRule rules)
    {
        mark -= IsHigh ? mark / 2 : 0;
        return mark - (TriesHarder(rules) ? mark / 4 : 0);
    }

    /// <summary>Whether the boost does not count for it.</summary>
    public bool IgnoresBoost(KernelRule rules) => Order == 0 && (rules & KernelRule.AtomicIgnoresBoost) != 0
        && ((rules & KernelRule.RightsKeepHighAtomic) != 0 ? IsHigh : (Gfp & Gfp.AtomicBit) != 0);

    /// <summary>Letters of the migrate types it may take from.</summary>
    public bool MayTake(char type, KernelRule rules) => type switch
    {
        'H' => TakesHighAtomic(rules),
        'C' => TakesCma(rules),
        'I' => false,
        _ => true,
    };
}

/// <summary>What a check needs to know of a zone, in pages; null where it is not known.</summary>
internal sealed record ZoneFacts
{
    public required int Node { get; init; }

    public required string Name { get; init; }

    public required int Index { get; init; }

    /// <summary>Free pages as the counter says, or else the sum of the lists.</summary>
    public required long? Free { get; init; }

    public required long? Min { get; init; }

    public required long? Low { get; init; }

    public required long? High { get; init; }

    /// <summary>What fragmentation added to each watermark; in <see cref="Min"/>, <see cref="Low"/> and <see cref="High"/>.</summary>
    public required long Boost { get; init; }

    /// <summary>What is kept back from the request.</summary>
    public required long? Reserve { get; init; }

    /// <summary>Pages of the highatomic reserve that do not count.</summary>
    public required long HighAtomic { get; init; }

    /// <summary>Whether <see cref="HighAtomic"/> is only the least it can be.</summary>
    public required bool HighAtomicIsLeast { get; init; }

    public required long Cma { get; init; }

    /// <summary>Whether <see cref="Cma"/> is only the least it can be.</summary>
    public required bool CmaIsLeast { get; init; }

    /// <summary>Free blocks by order; null where the list is missing.</summary>
    public required IReadOnlyList<FreeBlocks>? Blocks { get; init; }

    /// <summary>Whether the list ends early: of orders beyond it nothing is known.</summary>
    public bool BlocksAreCut { get; init; }

    public required long? Managed { get; init; }

    /// <summary>Pages in per-CPU lists.</summary>
    public long PerCpu { get; init; }

    public string Title => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"Node {Node} {Name}");

    /// <summary>How many free blocks of an order a request may take from, counting a list of several types whole; null where the list is missing.</summary>
    public long? UsableBlocks(int order, in RequestFacts request, KernelRule rules)
    {
        if (Blocks is null)
        {
            return null;
        }

        long count = 0;
        foreach (FreeBlocks blocks in Blocks)
        {
            if (blocks.Order >= order && blocks.Count > 0 && IsUsable(blocks, request, rules))
            {
                count += blocks.Count;
            }
        }

        return count == 0 && BlocksAreCut ? null : count;
    }

    /// <summary>The largest order of which there is a usable block; -1 for none, null where the list is missing.</summary>
    public int? LargestUsableOrder(in RequestFacts request, KernelRule rules)
    {
        if (Blocks is null)
        {
            return null;
        }

        int largest = -1;
        foreach (FreeBlocks blocks in Blocks)
        {
            if (blocks.Count > 0 && IsUsable(blocks, request, rules))
            {
                largest = blocks.Order;
            }
        }

        return BlocksAreCut ? null : largest;
    }

    /// <summary>Pages in blocks of a type and no other, of an order or more.</summary>
    public long PagesOnlyOf(char type, int order = 0)
    {
        long pages = 0;
        foreach (FreeBlocks blocks in Blocks ?? [])
        {
            pages += blocks.Order >= order && blocks.Types is { Length: 1 } types && types[0] == type ? blocks.Count << blocks.Order : 0;
        }

        return pages;
    }

    /// <summary>Whether there is a block of a type, of an order or more.</summary>
    public bool HasType(char type, int order = 0)
    {
        foreach (FreeBlocks blocks in Blocks ?? [])
        {
            if (blocks.Order >= order && blocks.Count > 0 && blocks.Types?.Contains(type) == true)
            {
                return true;
            }
        }

        return false;
    }

    public static bool IsUsable(in FreeBlocks blocks, in RequestFacts request, KernelRule rules)
    {
        if (blocks.Types is null)
        {
            return true;
        }

        foreach (char type in blocks.Types)
        {
            if (request.MayTake(type, rules))
            {
                return true;
            }
        }

        return false;
    }
}
