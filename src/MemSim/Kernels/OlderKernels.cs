using System.Collections.Immutable;

namespace MemSim.Kernels;

/// <summary>Kernels before 6.1, which nobody recorded: what is known to have been otherwise there, each with the version that brought today's rule.</summary>
internal static class OlderKernels
{
    private static readonly ImmutableArray<KnownDifference> Differences =
    [
        new(new(6, 1), "page blocks kept for atomic requests serve no others, not even as a last resort (before 6.1.117 and 6.12)", r => r with { Allocator = r.Allocator with { HighAtomicIsLastResort = false } }),
        new(new(6, 1), "MADV_REMOVE needs a mapping that is writable (before 6.7 and its stable series of August 2025)", r => r with { Areas = r.Areas with { RemovesWhereWritable = false } }),
        new(new(5, 14), "the limit of per-CPU lists is 6 x batch (before 5.14)", r => r with { Reserves = r.Reserves with { PcpHighInBatches = 6 } }),
        new(new(5, 4), "the batch of a zone whose pages were initialised late is that of its first part (before 5.4)", r => r with { Reserves = r.Reserves with { BatchMayBeOfFirstPart = true } }),
        new(new(5, 0), "watermarks are never boosted (before 5.0)", r => r with { Reserves = r.Reserves with { BoostsWatermarks = false } }),
        new(new(4, 20), "the batch of per-CPU lists is at most 31 pages (before 4.20)", r => r with { Reserves = r.Reserves with { PcpBatchLimitKiB = 512 } }),
        new(new(4, 6), "the high watermark is min + min/2, without watermark_scale_factor (before 4.6)", r => r with { Reserves = r.Reserves with { ScalesWatermarkDistance = false } }),
        new(new(3, 8), "pages move between nodes only when somebody asks for it (before 3.8)", r => r with { Areas = r.Areas with { BalancesNodes = false } }),
        new(new(4, 4), "each order halves the limit of the watermark check and leaves smaller blocks out (before 4.4)", r => r with { Allocator = r.Allocator with { HalvesLimitWithOrder = true } }),
        new(new(4, 4), "every request that cannot wait goes a quarter below the limit (before 4.4)", r => r with { Allocator = r.Allocator with { WaitlessTriesHarder = true } }),
        new(new(4, 4), "no page blocks are kept for atomic requests of order 1 and more (before 4.4; MIGRATE_RESERVE of that time is not simulated)", r => r with { Allocator = r.Allocator with { HasHighAtomicReserve = false } }),
    ];

    /// <summary>The rules of 6.1 with what is known to differ.</summary>
    public static KernelPersonality RulesOf(KernelVersion version)
    {
        // The multi-generational LRU came with 6.1, where it is off unless somebody switches it on.
        KernelPersonality rules = Linux6_1.Line with { Name = version.ToString(), Recorded = "", Reclaim = Linux6_1.Line.Reclaim with { HasGenerations = false } };
        foreach (KnownDifference difference in Differences)
        {
            rules = version < difference.Before ? difference.Change(rules) : rules;
        }

        return rules;
    }

    /// <summary>What is known to differ from 6.1, a phrase each.</summary>
    public static IEnumerable<string> DifferencesOf(KernelVersion version) => Differences.Where(d => version < d.Before).Select(d => d.Text);

    private sealed record KnownDifference(KernelVersion Before, string Text, Func<KernelPersonality, KernelPersonality> Change);
}
