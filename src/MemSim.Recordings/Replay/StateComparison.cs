using System.Globalization;
using MemSim.Observability;

namespace MemSim.Recordings.Replay;

/// <summary>Compares two allocator states, list order included.</summary>
internal static class StateComparison
{
    /// <summary>Compares every zone.</summary>
    /// <param name="expected">The recorded state.</param>
    /// <param name="actual">The machine's.</param>
    /// <param name="when">When it was taken, for messages.</param>
    /// <param name="tally">Receives the comparisons.</param>
    /// <param name="includeFigures">Whether watermarks, counters and boosts are compared besides the lists.</param>
    public static void Compare(AllocatorState expected, AllocatorState actual, string when, ReplayTally tally, bool includeFigures)
    {
        foreach (ZoneState zone in expected.Zones)
        {
            ZoneState? other = actual.Zones.Find(z => z.Node == zone.Node && z.Type == zone.Type);
            string name = $"{when}, node {zone.Node} zone {zone.Type.KernelName()}";
            if (other is null)
            {
                tally.Compare("state", equal: false, () => $"{name} does not exist here");
                continue;
            }

            CompareLists(zone, other, name, tally);
            if (includeFigures)
            {
                CompareFigures(zone, other, name, tally);
            }
        }
    }

    private static void CompareLists(ZoneState expected, ZoneState actual, string name, ReplayTally tally)
    {
        for (int order = 0; order < expected.FreeLists.Length; order++)
        {
            for (int type = 0; type < expected.FreeLists[order].Length; type++)
            {
                CompareList("free list", expected.FreeLists[order][type], actual.FreeLists[order][type], $"{name} order {order} type {(MigrateType)type}", tally);
            }
        }

        for (int cpu = 0; cpu < Math.Min(expected.Pcp.Count, actual.Pcp.Count); cpu++)
        {
            for (int list = 0; list < expected.Pcp[cpu].Lists.Length; list++)
            {
                string where = $"{name} CPU {cpu} list {list}";
                CompareList("pcp list", expected.Pcp[cpu].Lists[list], actual.Pcp[cpu].Lists[list], where, tally);
                if (expected.Pcp[cpu].CachedTypes.Length != 0)
                {
                    byte[] want = expected.Pcp[cpu].CachedTypes[list];
                    byte[] have = actual.Pcp[cpu].CachedTypes[list];
                    tally.Compare("cached types", want.AsSpan().SequenceEqual(have), () => $"{where}: cached types differ");
                }
            }
        }

        int first = (int)(expected.FirstPageblock - actual.FirstPageblock);
        for (int i = 0; i < expected.Pageblocks.Length; i++)
        {
            int at = first + i;
            byte want = expected.Pageblocks[i];
            byte have = (uint)at < (uint)actual.Pageblocks.Length ? actual.Pageblocks[at] : ZoneState.NoPageblock;
            long block = expected.FirstPageblock + i;
            tally.Compare("page block", want == have, () => $"{name} page block {block} has type {want}, here {have}");
        }
    }

    private static void CompareList(string kind, long[] expected, long[] actual, string where, ReplayTally tally) =>
        tally.Compare(kind, expected.AsSpan().SequenceEqual(actual), () =>
        {
            int at = expected.AsSpan().CommonPrefixLength(actual);
            return string.Create(CultureInfo.InvariantCulture,
                $"{where}: {expected.Length} blocks recorded, {actual.Length} here; first difference at position {at}: {At(expected, at)} recorded, {At(actual, at)} here");
        });

    private static string At(long[] list, int index) => index < list.Length ? list[index].ToString(CultureInfo.InvariantCulture) : "end";

    private static void CompareFigures(ZoneState expected, ZoneState actual, string name, ReplayTally tally)
    {
        Figure("min", expected.WatermarkMin, actual.WatermarkMin);
        Figure("low", expected.WatermarkLow, actual.WatermarkLow);
        Figure("high", expected.WatermarkHigh, actual.WatermarkHigh);
        Figure("promo", expected.WatermarkPromo, actual.WatermarkPromo);
        Figure("boost", expected.WatermarkBoost, actual.WatermarkBoost);
        Figure("reserved highatomic", expected.ReservedHighAtomicPages, actual.ReservedHighAtomicPages);
        if (expected.FreeHighAtomicPages is long freeHighAtomic)
        {
            Figure("free highatomic", freeHighAtomic, actual.FreeHighAtomicPages ?? 0);
        }

        if (expected.FreeBlockPages is long freeBlocks)
        {
            Figure("pages in free page blocks", freeBlocks, actual.FreeBlockPages ?? -1);
        }

        Figure("zone flags", expected.Flags, actual.Flags);
        Figure("free pages", expected.FreePages, actual.FreePages);
        for (int cpu = 0; cpu < Math.Min(expected.Pcp.Count, actual.Pcp.Count); cpu++)
        {
            Figure("unfolded free pages", expected.FreePagesCpuDiff[cpu], actual.FreePagesCpuDiff[cpu]);
            Figure("pcp count", expected.Pcp[cpu].Count, actual.Pcp[cpu].Count);
            Figure("pcp high", expected.Pcp[cpu].High, actual.Pcp[cpu].High);
            Figure("pcp batch", expected.Pcp[cpu].Batch, actual.Pcp[cpu].Batch);
            if (expected.Pcp[cpu].HighBounds is not (int least, int most))
            {
                Figure("pcp free factor", expected.Pcp[cpu].FreeFactor, actual.Pcp[cpu].FreeFactor);
                continue;
            }

            Figure("pcp high_min", least, actual.Pcp[cpu].HighBounds?.Min ?? -1);
            Figure("pcp high_max", most, actual.Pcp[cpu].HighBounds?.Max ?? -1);
            Figure("pcp alloc factor", expected.Pcp[cpu].AllocFactor, actual.Pcp[cpu].AllocFactor);
            Figure("pcp free count", expected.Pcp[cpu].FreeFactor, actual.Pcp[cpu].FreeFactor);
            Figure("pcp flags", expected.Pcp[cpu].Flags, actual.Pcp[cpu].Flags);
            if (expected.FreeBlockPagesCpuDiff.Length != 0)
            {
                Figure("unfolded pages in free page blocks", expected.FreeBlockPagesCpuDiff[cpu], actual.FreeBlockPagesCpuDiff[cpu]);
            }
        }

        void Figure(string what, long want, long have) =>
            tally.Compare("zone figure", want == have, () => $"{name}: {what} is {want}, here {have}");
    }
}
