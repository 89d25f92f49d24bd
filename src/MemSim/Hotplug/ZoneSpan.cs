using System.Diagnostics;


namespace MemSim.Hotplug;

/// <summary>Lets a zone's span grow and shrink, with what is kept for each page block.</summary>
internal static class ZoneSpan
{
    /// <summary>Step in which the ends of a shrinking zone are looked for (<c>PAGES_PER_SUBSECTION</c>: 2 MiB).</summary>
    private const long Step = PageGeometry.SubsectionPages;

    /// <summary>The zone spans these frames too, as movable page blocks (<c>move_pfn_range_to_zone()</c>).</summary>
    public static void Grow(Machine machine, Zone zone, long start, long end)
    {
        long from = zone.SpannedPages == 0 ? start : Math.Min(start, zone.StartPfn.Value);
        long to = zone.SpannedPages == 0 ? end : Math.Max(end, zone.EndPfn.Value);
        bool hadBlocks = zone.SpannedPages != 0;
        zone.StartPfn = new Pfn(from);
        zone.SpannedPages = to - from;
        CoverPageblocks(zone, keep: hadBlocks);
        for (long pfn = start; pfn < end; pfn += 1L << zone.PageblockOrder)
        {
            zone.SetBlockType((int)pfn, (int)MigrateType.Movable);
        }

        Debug.Assert(zone.StartPfn.Value <= start && zone.EndPfn.Value >= end && zone.PresentPages <= zone.SpannedPages, "the zone spans the frames, and what it had");

        machine.Compaction.Compactor.SpanChanged(zone);
    }

    /// <summary>The zone has lost frames: at its ends it spans them no longer, in its middle they become a hole (<c>shrink_zone_span()</c>).</summary>
    public static void Shrink(Machine machine, Zone zone, long start, long end)
    {
        Debug.Assert(zone.StartPfn.Value <= start && zone.EndPfn.Value >= end, "frames that the zone spans");
        for (long pfn = start; pfn < end; pfn += 1L << zone.PageblockOrder)
        {
            zone.PageblockTypes[(pfn >> zone.PageblockOrder) - zone.FirstPageblock] = Zone.NoPageblock;
        }

        long from = zone.StartPfn.Value;
        long to = zone.EndPfn.Value;
        if (from == start)
        {
            long first = end;
            while (first < to && !Has(machine, zone, first))
            {
                first += Step;
            }

            SetSpan(zone, first, to);
        }
        else if (to == end)
        {
            // The kernel looks at the first frame of each step, downwards.
            long last = start - 1;
            while (last >= from && !Has(machine, zone, last))
            {
                last -= Step;
            }

            SetSpan(zone, from, last + 1);
        }

        machine.Compaction.Compactor.SpanChanged(zone);
    }

    private static bool Has(Machine machine, Zone zone, long pfn) => machine.ZoneTable.ZoneOf((int)pfn) == zone;

    private static void SetSpan(Zone zone, long from, long to)
    {
        zone.StartPfn = new Pfn(from < to ? from : 0);
        zone.SpannedPages = Math.Max(0, to - from);
    }

    /// <summary>Makes room for the types of all page blocks of the span; those known keep theirs.</summary>
    private static void CoverPageblocks(Zone zone, bool keep)
    {
        long first = zone.StartPfn.Value >> zone.PageblockOrder;
        long last = (zone.EndPfn.Value - 1) >> zone.PageblockOrder;
        if (keep)
        {
            // What lies outside of a shrunken span stays covered: nothing is gained by forgetting it.
            first = Math.Min(first, zone.FirstPageblock);
            last = Math.Max(last, zone.FirstPageblock + zone.PageblockTypes.Length - 1);
        }

        byte[] types = new byte[last - first + 1];
        Array.Fill(types, Zone.NoPageblock);
        if (keep)
        {
            zone.PageblockTypes.CopyTo(types, zone.FirstPageblock - first);
        }

        zone.FirstPageblock = first;
        zone.PageblockTypes = types;
    }
}
