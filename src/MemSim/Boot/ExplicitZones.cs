using MemSim.PageAllocation;

namespace MemSim.Boot;

/// <summary>Zones that are given instead of derived: checks them and turns them into early memory.</summary>
/// <remarks>Where a zone does not say otherwise its holes (spanned - present) lie at its start and its reserved frames (present - managed) right after them.</remarks>
internal static class ExplicitZones
{
    /// <summary>Frames of the largest machine: their numbers and those of list heads have 31 bits.</summary>
    private const long MostFrames = int.MaxValue - (1 << 20);

    /// <summary>The zones sorted by node and zone type, when nothing is wrong with them.</summary>
    public static IReadOnlyList<BootZone> Check(ArchitectureInfo architecture, IReadOnlyList<BootZone> zones)
    {
        List<BootZone> sorted = [.. zones.Where(zone => zone.SpannedPages > 0)];
        sorted.Sort((left, right) => (left.Node, left.Type).CompareTo((right.Node, right.Type)));
        if (sorted.Count == 0)
        {
            throw new ArgumentException("a machine needs at least one zone with memory", nameof(zones));
        }

        foreach (BootZone zone in sorted)
        {
            string name = Name(zone);
            if (architecture.IndexOf(zone.Type) < 0)
            {
                throw new ArgumentException($"{name}: {architecture.Name} has no such zone", nameof(zones));
            }

            if (zone.Node is < 0 or >= NumaTopology.MaxNodes)
            {
                throw new ArgumentException($"{name}: nodes are numbered 0 to {NumaTopology.MaxNodes - 1}", nameof(zones));
            }

            if (zone.Start.Value < 0 || zone.End.Value > (long)(MachineSpec.MemoryLimit(architecture.Architecture).Bytes >> PageGeometry.PageShift) * 4)
            {
                throw new ArgumentException($"{name}: frames {zone.Start} to {zone.End} are beyond what {architecture.Name} can address", nameof(zones));
            }

            if (zone.PresentPages > zone.SpannedPages || zone.ManagedPages > zone.PresentPages || zone.ManagedPages < 0)
            {
                throw new ArgumentException($"{name}: {zone.SpannedPages} pages spanned, {zone.PresentPages} present, {zone.ManagedPages} managed contradict each other", nameof(zones));
            }

            CheckRanges(zone, zone.Holes, zone.SpannedPages - zone.PresentPages, "holes");
            CheckRanges(zone, zone.ReservedRanges, zone.PresentPages - zone.ManagedPages, "reserved ranges");
        }

        CheckOverlap(sorted);
        return sorted;
    }

    /// <summary>Memblock with all present frames as memory and all that are not managed reserved.</summary>
    public static Memblock ToMemblock(IReadOnlyList<BootZone> zones)
    {
        Memblock memblock = new();
        foreach (BootZone zone in zones)
        {
            memblock.Add(Bytes(zone.Start.Value), Bytes(zone.SpannedPages), zone.Node);
            foreach (PfnRange hole in zone.Holes ?? [new PfnRange(zone.Start, zone.SpannedPages - zone.PresentPages)])
            {
                memblock.Remove(Bytes(hole.Start.Value), Bytes(hole.Pages));
            }
        }

        foreach (BootZone zone in zones)
        {
            if (zone.ReservedRanges is { } ranges)
            {
                foreach (PfnRange range in ranges)
                {
                    memblock.Reserve(Bytes(range.Start.Value), Bytes(range.Pages));
                }
            }
            else
            {
                ReserveFirst(memblock, zone);
            }
        }

        return memblock;
    }

    private static void ReserveFirst(Memblock memblock, BootZone zone)
    {
        long missing = zone.PresentPages - zone.ManagedPages;
        foreach ((long start, long end, _) in memblock.PageRanges().ToList())
        {
            long from = Math.Max(start, zone.Start.Value), pages = Math.Min(missing, Math.Min(end, zone.End.Value) - from);
            if (pages > 0)
            {
                memblock.Reserve(Bytes(from), Bytes(pages));
                missing -= pages;
            }
        }
    }

    private static void CheckRanges(BootZone zone, IReadOnlyList<PfnRange>? ranges, long expected, string what)
    {
        if (ranges is null)
        {
            return;
        }

        long sum = 0;
        foreach (PfnRange range in ranges)
        {
            sum += range.Pages;
            if (range.Pages <= 0 || range.Start.Value < zone.Start.Value || range.End.Value > zone.End.Value)
            {
                throw new ArgumentException($"{Name(zone)}: {what}: frames {range.Start} to {range.End} are empty or outside of the zone");
            }
        }

        if (sum != expected)
        {
            throw new ArgumentException($"{Name(zone)}: {what} of {sum} pages, {expected} by the zone's counts");
        }
    }

    private static void CheckOverlap(List<BootZone> zones)
    {
        // Spans of zones of different nodes may interleave only where one has a hole it names.
        List<BootZone> byStart = [.. zones.OrderBy(zone => zone.Start.Value)];
        if (byStart.Find(zone => zone.End.Value > MostFrames) is { } far)
        {
            throw new ArgumentException($"{Name(far)} ends at frame {far.End}: frame numbers of 2^31 and more (8 TiB) are not supported");
        }

        for (int i = 1; i < byStart.Count; i++)
        {
            BootZone left = byStart[i - 1], right = byStart[i];
            if (right.Start.Value < left.End.Value && left.Holes is null && right.Holes is null)
            {
                throw new ArgumentException($"{Name(left)} ends at frame {left.End}, {Name(right)} starts at {right.Start}");
            }

            if (left.Node == right.Node && left.Type == right.Type)
            {
                throw new ArgumentException($"{Name(left)} is given twice");
            }
        }
    }

    private static string Name(BootZone zone) => $"node {zone.Node}, zone {zone.Type.KernelName()}";

    private static ulong Bytes(long pages) => (ulong)pages << PageGeometry.PageShift;
}
