using MemSim.Kernels;
using MemSim.Observability;
using MemSim.Reports;

namespace MemSim.Explorer.Reports;

/// <summary>A machine with the zones, watermarks, reserves and free blocks of a report. Where blocks lie is not in a report; how many of each size are free is, and so is which types may be taken.</summary>
public static class ReportMachine
{
    private const int PageblockOrder = 9;
    private const int Types = 6;
    private const long FirstFrame = 1L << PageGeometry.MaxOrder;

    /// <summary>Frames take about 160 bytes each, slab tables included, of the 2 GiB that a tab has.</summary>
    private const long MostFrames = 3L << 20;

    /// <summary>Why no machine can be made of a report; null where one can.</summary>
    public static string? WhyNot(KernelReport report)
    {
        ArgumentNullException.ThrowIfNull(report);
        ReportedZone[] zones = [.. report.Zones.Where(z => !z.IsEmpty)];
        if (zones.Length == 0)
        {
            return "the report has no zones";
        }

        if (report.PageSizeKiB is not null and not 4)
        {
            return $"its pages have {report.PageSizeKiB} KiB; machines here have pages of 4 KiB";
        }

        ArchitectureInfo architecture = ArchitectureInfo.Of(ReportFigures.ArchitectureOf(zones));
        if (zones.FirstOrDefault(z => !ZoneTypeNames.TryParse(z.Name, out ZoneType type) || !architecture.ZoneTypes.Contains(type)) is { } odd)
        {
            return $"zone {odd.Name} is none that machines here have";
        }

        if (zones.FirstOrDefault(z => z.Blocks is null || z.KiB("min") is null) is { } part)
        {
            return $"what is free in {part}, or its watermarks, is not in the text";
        }

        if (zones.Any(z => z.Blocks!.Any(b => b.Order > PageGeometry.MaxOrder)))
        {
            return "its free lists go beyond order 10";
        }

        return zones.Sum(z => z.Blocks!.Sum(b => b.Count << (b.Order + 1))) > MostFrames ? "more memory is free in it than a tab can hold" : null;
    }

    /// <summary>The rules that a report's machine follows: those of its kernel as far as they are known, else of 6.1.</summary>
    public static KernelChoice RulesFor(KernelReport report)
    {
        ArgumentNullException.ThrowIfNull(report);
        return KernelChoice.TryFor(report.Version?.ToString() ?? string.Empty, out KernelChoice? choice) ? choice : KernelChoice.Unknown(KernelLines.Linux6_1, "the report does not say");
    }

    /// <summary>Makes the machine, turns the knobs, makes the request.</summary>
    /// <exception cref="InvalidOperationException">No machine can be made: see <see cref="WhyNot"/>.</exception>
    public static KnobResult Try(KernelReport report, ReportKnobs knobs)
    {
        ArgumentNullException.ThrowIfNull(report);
        ArgumentNullException.ThrowIfNull(knobs);
        if (OperatingSystem.IsBrowser())
        {
            // Each turn of a knob makes a machine: those before give their memory back first.
            GC.Collect();
        }

        using Machine machine = Build(report, knobs);
        AllocationExplanation explanation = machine.Explain(knobs.Gfp, knobs.Order);
        Page page = machine.Cpus[0].AllocPages(knobs.Gfp | Gfp.NoWarn, knobs.Order);
        return new KnobResult(!page.IsNull, page.IsNull ? string.Empty : page.Zone.Name, explanation.Zones);
    }

    /// <summary>Makes the machine in the state that the report prints.</summary>
    public static Machine Build(KernelReport report, ReportKnobs knobs)
    {
        if (WhyNot(report) is { } why)
        {
            throw new InvalidOperationException(why);
        }

        ReportedZone[] reported = [.. report.Zones.Where(z => !z.IsEmpty)];
        ReportedZone grows = reported.MaxBy(z => z.KiB("managed") ?? z.KiB("present") ?? 0)!;
        ZoneFigures[] figures = ReportFigures.Of(reported, knobs, grows, RulesFor(report).Line);
        long toSwap = knobs.SwapMiB * 256L;
        AllocatorState state = new()
        {
            Name = "report",
            Architecture = ReportFigures.ArchitectureOf(reported),
            PageblockOrder = PageblockOrder,
            Kernel = RulesFor(report).Line,
            CpuCount = 1,
            CpuNodes = [reported[0].Node],
        };
        long next = FirstFrame;
        for (int i = 0; i < reported.Length; i++)
        {
            ReportedZone zone = reported[i];
            long swapped = Math.Min(toSwap, AnonymousPages(zone));
            toSwap -= swapped;
            ZoneState built = ZoneOf(zone, next, figures[i], knobs.CmaPercent, swapped + DrainedPages(zone, knobs), ReferenceEquals(zone, grows) ? knobs.MoreMiB * 256L : 0);
            state.Zones.Add(built);
            next = Align(built.StartPfn + built.SpannedPages, PageGeometry.MaxOrder);
        }

        return MachineSnapshot.Of(state).Boot();
    }

    private static ZoneState ZoneOf(ReportedZone reported, long start, ZoneFigures figures, int cmaPercent, long singles, long more)
    {
        long[][][] lists = [.. Enumerable.Range(0, PageGeometry.OrderCount).Select(_ => Enumerable.Range(0, Types).Select(_ => Array.Empty<long>()).ToArray())];
        List<(long Block, MigrateType Type)> types = [];
        long cursor = start;
        long free = 0;
        IEnumerable<(MigrateType Type, int Order, long Count)> freeBlocks = reported.Blocks!.SelectMany(b => Shares(b, cmaPercent)).Append((MigrateType.Movable, 0, singles)).Where(b => b.Item3 > 0);
        foreach (IGrouping<MigrateType, (MigrateType Type, int Order, long Count)> group in freeBlocks.GroupBy(b => b.Type))
        {
            cursor = Align(cursor, PageGeometry.MaxOrder);
            long first = cursor;
            foreach ((_, int order, long count) in group)
            {
                lists[order][(int)group.Key] = [.. lists[order][(int)group.Key], .. Place(order, count, ref cursor)];
                free += count << order;
            }

            types.AddRange(Blocks(first, cursor).Select(b => (b, group.Key)));
        }

        if (more > 0)
        {
            cursor = Align(cursor, PageGeometry.MaxOrder);
            long first = cursor;
            long[] added = Place(PageGeometry.MaxOrder, more >> PageGeometry.MaxOrder, ref cursor);
            lists[PageGeometry.MaxOrder][(int)MigrateType.Movable] = [.. lists[PageGeometry.MaxOrder][(int)MigrateType.Movable], .. added];
            free += (long)added.Length << PageGeometry.MaxOrder;
            types.AddRange(Blocks(first, cursor).Select(b => (b, MigrateType.Movable)));
        }

        // What is in use has no part in the check: the machine is as large as what is free needs, however large the reported one was.
        long spanned = Align(Math.Max(cursor - start, 1), PageGeometry.MaxOrder);
        byte[] pageblocks = [.. Enumerable.Repeat((byte)MigrateType.Movable, (int)(spanned >> PageblockOrder))];
        foreach ((long block, MigrateType type) in types)
        {
            pageblocks[block - (start >> PageblockOrder)] = (byte)type;
        }

        ZoneState zone = new()
        {
            Node = reported.Node,
            Type = ZoneTypeNames.TryParse(reported.Name, out ZoneType zoneType) ? zoneType : throw new InvalidOperationException($"{reported.Name} is no zone"),
            StartPfn = start,
            SpannedPages = spanned,
            PresentPages = spanned,
            ManagedPages = spanned,
            FirstPageblock = start >> PageblockOrder,
            Pageblocks = pageblocks,
            FreeLists = lists,
            FreePages = free,
            ReservedHighAtomicPages = (reported.KiB("reserved_highatomic") / 4) ?? HighAtomicPages(lists),
            WatermarkBoost = figures.Boost,
            WatermarkMin = figures.Min,
            WatermarkLow = figures.Low,
            WatermarkHigh = figures.High,
            LowmemReserve = figures.Reserve,
        };
        zone.Pcp.Add(new PcpState { High = 0, Batch = 1 });
        return zone;
    }

    // Where the reserve is not printed it is at least the page blocks that its free blocks lie in.
    private static long HighAtomicPages(long[][][] lists) =>
        lists.SelectMany(byType => byType[(int)MigrateType.HighAtomic]).Select(pfn => pfn >> PageblockOrder).Distinct().Count() * (1L << PageblockOrder);

    // What contiguous areas give up is like any other movable memory.
    private static IEnumerable<(MigrateType Type, int Order, long Count)> Shares(FreeBlocks blocks, int cmaPercent)
    {
        MigrateType type = TypeOf(blocks);
        long kept = type == MigrateType.Cma ? blocks.Count * cmaPercent / 100 : blocks.Count;
        yield return (type, blocks.Order, kept);
        yield return (MigrateType.Movable, blocks.Order, blocks.Count - kept);
    }

    private static long AnonymousPages(ReportedZone zone) => ((zone.KiB("active_anon") ?? 0) + (zone.KiB("inactive_anon") ?? 0)) / 4;

    // Beyond the limit lists of CPUs give back what they hold.
    private static long DrainedPages(ReportedZone zone, ReportKnobs knobs) =>
        knobs.PercpuPagelistHighFraction is > 0 and { } fraction ? Math.Max(0, (zone.PerCpuPages ?? (zone.KiB("free_pcp") ?? 0) / 4) - ((zone.KiB("managed") ?? 0) / 4 / fraction)) : 0;

    /// <summary>Anonymous memory that a swap device could have taken, in MiB.</summary>
    public static int AnonymousMiB(KernelReport report)
    {
        ArgumentNullException.ThrowIfNull(report);
        return (int)(report.Zones.Sum(AnonymousPages) / 256);
    }

    // Buddies of what is free are in use: so nothing merges, and each size has as many blocks as the report says.
    private static long[] Place(int order, long count, ref long cursor)
    {
        int step = Math.Min(order + 1, PageGeometry.MaxOrder);
        long[] blocks = new long[count];
        for (int i = 0; i < blocks.Length; i++)
        {
            blocks[i] = Align(cursor, step);
            cursor = blocks[i] + (1L << step);
        }

        return blocks;
    }

    private static IEnumerable<long> Blocks(long from, long to)
    {
        for (long block = from >> PageblockOrder; block <= (to - 1) >> PageblockOrder; block++)
        {
            yield return block;
        }
    }

    private static MigrateType TypeOf(FreeBlocks blocks) => blocks.Types switch
    {
        null => MigrateType.Movable,
        "H" => MigrateType.HighAtomic,
        "C" => MigrateType.Cma,
        "I" => MigrateType.Isolate,
        string types when types.Contains('U', StringComparison.Ordinal) => MigrateType.Unmovable,
        string types when types.Contains('E', StringComparison.Ordinal) || types.Contains('R', StringComparison.Ordinal) => MigrateType.Reclaimable,
        _ => MigrateType.Movable,
    };

    private static long Align(long pfn, int order) => (pfn + (1L << order) - 1) & ~((1L << order) - 1);
}
