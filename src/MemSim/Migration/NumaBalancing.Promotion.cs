namespace MemSim;

/// <content>Pages of slow memory: which are hot enough to come up, and how many a second.</content>
public sealed partial class NumaBalancing
{
    /// <summary>Steps in which the threshold is moved (<c>NUMA_MIGRATION_ADJUST_STEPS</c>): to twice <see cref="HotThreshold"/>.</summary>
    private const long ThresholdSteps = 16;

    private const int PagesPerMiBShift = 20 - PageGeometry.PageShift;

    /// <summary>How soon after its last scan a page must be used now to be hot on a node, in milliseconds (<c>nbp_threshold</c>); 0 before that was ever asked.</summary>
    /// <param name="node">The faster node.</param>
    public long HotThresholdOf(Node node)
    {
        ArgumentNullException.ThrowIfNull(node);
        int id = _machine.ZoneTable.Owned(node).Id;
        return _promotions?[id].ThresholdMilliseconds ?? 0;
    }

    /// <summary>Whether a page of slow memory goes to the node that used it: any while there is plenty of room, else those used soon after their scan, within the rate limit.</summary>
    private bool IsHot(Cpu cpu, int head, int pages)
    {
        Node node = cpu.Node;
        Promotion promotion = _promotions![node.Id];
        if (HasPlenty(node))
        {
            // The load changed: the threshold found so far means nothing.
            promotion.ThresholdMilliseconds = 0;
            node.Counters.PromoteCandidateNoLimit += pages;
            return true;
        }

        long configured = (long)HotThreshold.TotalMilliseconds;
        long limit = (long)PromoteRateLimit << PagesPerMiBShift;
        Adjust(node, promotion, limit, configured);
        long threshold = promotion.ThresholdMilliseconds != 0 ? promotion.ThresholdMilliseconds : configured;
        uint now = (uint)(_machine.Clock.Nanoseconds / Millisecond);
        uint seen = _uses![head] ?? 0;
        return now - seen < threshold && !IsOverLimit(node, promotion, limit, pages);
    }

    /// <summary>Whether a zone of a node is far above its watermarks: by a sixteenth of the node, at most 1 GiB (<c>pgdat_free_space_enough()</c>).</summary>
    private static bool HasPlenty(Node node)
    {
        long plenty = Math.Max(1L << (30 - PageGeometry.PageShift), node.PresentPages >> 4);
        for (int i = node.Zones.Count - 1; i >= 0; i--)
        {
            Zone zone = node.Zones[i];
            if (zone.ManagedPages != 0 && Zones.WatermarkCheck.PassesFull(zone, 0, zone.GetWatermarkPages(Watermark.Promo) + plenty, node.Zones.Count - 1, Zones.AllocFlags.WatermarkMin, zone.FreePagesForChecks))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Counts candidates, and says whether there were as many in this second as may come (<c>numa_promotion_rate_limit()</c>).</summary>
    private bool IsOverLimit(Node node, Promotion promotion, long limit, int pages)
    {
        node.Counters.PromoteCandidate += pages;
        long candidates = node.Counters.PromoteCandidate;
        long now = _machine.Clock.Nanoseconds;
        if (now - promotion.SecondStart > 1000 * Millisecond)
        {
            promotion.SecondStart = now;
            promotion.CandidatesAtStart = candidates;
        }

        return candidates - promotion.CandidatesAtStart >= limit;
    }

    /// <summary>Once in the longest scan period: more candidates than the limit lets through make the threshold lower, fewer higher (<c>numa_promotion_adjust_threshold()</c>).</summary>
    private void Adjust(Node node, Promotion promotion, long limit, long configured)
    {
        long now = _machine.Clock.Nanoseconds;
        long period = Nanoseconds(ScanPeriodMax);
        if (now - promotion.ThresholdStart <= period)
        {
            return;
        }

        promotion.ThresholdStart = now;
        long aim = (long)((Int128)limit * period / (1000 * Millisecond));
        long candidates = node.Counters.PromoteCandidate - promotion.CandidatesAtThreshold;
        long step = Math.Max(1, configured * 2 / ThresholdSteps);
        long threshold = promotion.ThresholdMilliseconds != 0 ? promotion.ThresholdMilliseconds : configured;
        threshold = candidates > aim / 10 * 11 ? Math.Max(threshold - step, step)
            : candidates < aim / 10 * 9 ? Math.Min(threshold + step, configured * 2)
            : threshold;
        promotion.CandidatesAtThreshold = node.Counters.PromoteCandidate;
        promotion.ThresholdMilliseconds = threshold;
    }
}
