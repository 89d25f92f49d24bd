using MemSim.Captures;
using MemSim.Observability;

namespace MemSim.Recordings.Replay;

/// <summary>A start state as near to what was as counts, page flags and the events of a recording lead, for recordings whose lists were not read.</summary>
/// <remarks>
/// Page flags tell which frames were free, and free blocks are as large as that set allows, since buddies merge. In which order they stood, and what was in per-CPU lists, tell the events
/// (<see cref="TraceStartEvents"/>). Without page flags only the number of blocks is right.
/// </remarks>
internal sealed class TraceStartGuess
{
    private const ulong BuddyFlag = 1UL << 10;

    private readonly ZoneInfoFile _zoneInfo;
    private readonly IReadOnlyList<BuddyInfoRow> _rows;
    private readonly TraceReplayRecording _recording;
    private readonly string _buddyInfoPath;
    private readonly List<(long First, long Count)> _free = [];
    private readonly List<(long First, long Count)> _unflagged = [];

    /// <summary>Reads what there is.</summary>
    /// <param name="zoneInfo">The zones.</param>
    /// <param name="rows">Free blocks by order.</param>
    /// <param name="recording">The events.</param>
    /// <param name="buddyInfoPath">The file that <paramref name="rows"/> are from, for messages.</param>
    /// <param name="flagsPath">Page flags; null where they were not read.</param>
    public TraceStartGuess(ZoneInfoFile zoneInfo, IReadOnlyList<BuddyInfoRow> rows, TraceReplayRecording recording, string buddyInfoPath, string? flagsPath)
    {
        _zoneInfo = zoneInfo;
        _rows = rows;
        _recording = recording;
        _buddyInfoPath = buddyInfoPath;
        if (flagsPath is not null)
        {
            TraceReplayStart.ForEachRun(flagsPath, (first, count, flags) =>
            {
                if (flags == 0 || (flags & BuddyFlag) != 0)
                {
                    ((flags & BuddyFlag) != 0 ? _free : _unflagged).Add((first, count));
                }
            });
        }
    }

    /// <summary>Free blocks by type as counted; null where they were not.</summary>
    public RecordedFreeBlocks? Counted { get; init; }

    /// <summary>Puts the state together.</summary>
    /// <exception cref="InputFileException">The files contradict each other.</exception>
    public AllocatorState State()
    {
        bool is32Bit = _zoneInfo.Zones.Any(z => z.Type == ZoneType.HighMem);
        AllocatorState state = new()
        {
            Name = _recording.Path,
            Architecture = is32Bit ? Architecture.X86_32 : Architecture.X86_64,
            CpuCount = Math.Max(_recording.CpuCount, _zoneInfo.Zones.Max(z => z.Pagesets.Count)),
        };
        ArchitectureInfo architecture = ArchitectureInfo.Of(state.Architecture);
        state.PageblockOrder = architecture.PageblockOrder;
        TraceStartEvents events = _recording.BeginStart(state.PageblockOrder);
        foreach (ZoneInfoZone figures in _zoneInfo.Zones)
        {
            if (figures.Present > 0 && architecture.IndexOf(figures.Type) >= 0)
            {
                BuddyInfoRow row = _rows.FirstOrDefault(r => r.Node == figures.Node && r.Zone == figures.Type.KernelName())
                    ?? throw new InputFileException(_buddyInfoPath, 0, $"has no line for node {figures.Node} zone {figures.Type.KernelName()}");
                state.Zones.Add(ZoneOf(figures, row, state, architecture, events));
            }
        }

        return state.Zones.Count != 0 ? state : throw new InputFileException(_buddyInfoPath, 0, "holds no zone with memory");
    }

    private ZoneState ZoneOf(ZoneInfoZone figures, BuddyInfoRow row, AllocatorState state, ArchitectureInfo architecture, TraceStartEvents events)
    {
        long boost = figures.Boost ?? 0;
        ZoneState zone = new()
        {
            Node = figures.Node,
            Type = figures.Type,
            StartPfn = figures.StartPfn,
            SpannedPages = figures.Spanned,
            PresentPages = figures.Present,
            ManagedPages = figures.Managed,
            WatermarkMin = (figures.Min ?? 0) - boost,
            WatermarkLow = (figures.Low ?? 0) - boost,
            WatermarkHigh = (figures.High ?? 0) - boost,
            WatermarkPromo = (figures.Promo ?? figures.High ?? 0) - boost,
            WatermarkBoost = boost,
            LowmemReserve = new long[architecture.ZoneTypes.Count],
            FreePagesCpuDiff = new int[state.CpuCount],
            FreeLists = new long[PageGeometry.OrderCount][][],
            FirstPageblock = figures.StartPfn >> state.PageblockOrder,
        };
        long blocks = ((zone.StartPfn + zone.SpannedPages - 1) >> state.PageblockOrder) - zone.FirstPageblock + 1;
        zone.Pageblocks = new byte[blocks];
        Array.Fill(zone.Pageblocks, (byte)MigrateType.Movable);
        for (int cpu = 0; cpu < state.CpuCount; cpu++)
        {
            zone.Pcp.Add(ListsOf(figures.Pagesets.Find(p => p.Cpu == cpu)));
        }

        List<long>[] free = FreeBlocksByFlags(zone) is { } known && Enumerable.Range(0, PageGeometry.OrderCount).All(o => known[o].Count == row.BlocksOf(o)) ? known : FreeBlocksByCount(zone, row, events);
        long[][]? counted = Counted?.Zones.FirstOrDefault(z => z.Node == figures.Node && z.Name == figures.Type.KernelName())?.ByType;
        StartPageblockTypes.Set(zone, state.PageblockOrder, free, counted, events);
        for (int order = 0; order < PageGeometry.OrderCount; order++)
        {
            zone.FreeLists[order] = new long[(int)MigrateType.Isolate + 1][];
            Array.Fill(zone.FreeLists[order], []);
            int o = order;
            foreach (IGrouping<byte, long> list in free[order].OrderBy(pfn => events.TakenAt(pfn, o)).GroupBy(pfn => zone.Pageblocks[(pfn >> state.PageblockOrder) - zone.FirstPageblock]))
            {
                zone.FreeLists[order][list.Key] = [.. list];
            }

            zone.FreePages += (long)free[order].Count << order;
        }

        FillPcp(zone, figures, free, events);
        return zone.FreePages + zone.Pcp.Sum(p => (long)p.Count) <= zone.ManagedPages
            ? zone
            : throw new InputFileException(_buddyInfoPath, 0, $"node {zone.Node} zone {zone.Type.KernelName()} has more free pages than it manages");
    }

    private static PcpState ListsOf(ZoneInfoPageset? pageset) => new()
    {
        High = Clamp(pageset?.High ?? 0),
        Batch = (int)Math.Clamp(pageset?.Batch ?? 1, 1, 1 << 16),
        HighBounds = pageset is { HighMin: long min, HighMax: long max } ? (Clamp(min), Clamp(max)) : null,
        Lists = TraceReplayStart.EmptyLists(),
    };

    private static int Clamp(long pages) => (int)Math.Clamp(pages, 0, TraceReplayStart.MaxPagesCounted);

    private void FillPcp(ZoneState zone, ZoneInfoZone figures, List<long>[] free, TraceStartEvents events)
    {
        if (!events.HasRefills)
        {
            return;
        }

        HashSet<(int Order, long Pfn)> blocks = [.. free.SelectMany((list, order) => list.Select(pfn => (order, pfn)))];
        events.FillLists(zone, pfn => Enumerable.Range(0, PageGeometry.OrderCount).Any(o => blocks.Contains((o, pfn & -(1L << o)))));
        IEnumerable<int> unflagged = _unflagged.SelectMany(run => Frames(run, zone));
        foreach (ZoneInfoPageset pageset in figures.Pagesets.Count == 1 ? figures.Pagesets : [])
        {
            events.FillUp(zone, pageset.Cpu, pageset.Count ?? 0, unflagged);
        }
    }

    private static IEnumerable<int> Frames((long First, long Count) run, ZoneState zone)
    {
        long end = Math.Min(run.First + run.Count, zone.StartPfn + zone.SpannedPages);
        for (long pfn = Math.Max(run.First, zone.StartPfn); pfn < end; pfn++)
        {
            yield return (int)pfn;
        }
    }

    /// <summary>The free blocks: as large as the set of free frames allows. Null where no flags were read.</summary>
    private List<long>[]? FreeBlocksByFlags(ZoneState zone)
    {
        if (_free.Count == 0)
        {
            return null;
        }

        List<long>[] blocks = [.. Enumerable.Range(0, PageGeometry.OrderCount).Select(_ => new List<long>())];
        foreach ((long first, long count) in _free)
        {
            long start = Math.Max(first, zone.StartPfn);
            long end = Math.Min(first + count, zone.StartPfn + zone.SpannedPages);
            while (start < end)
            {
                int order = PageGeometry.MaxOrder;
                while ((start & ((1L << order) - 1)) != 0 || start + (1L << order) > end)
                {
                    order--;
                }

                blocks[order].Add(start);
                start += 1L << order;
            }
        }

        return blocks;
    }

    /// <summary>As many blocks of each order as were counted, large ones first and from the top down: what is left below is in use. Frames that the recording shows elsewhere are left out.</summary>
    private static List<long>[] FreeBlocksByCount(ZoneState zone, BuddyInfoRow row, TraceStartEvents events)
    {
        List<long>[] blocks = [.. Enumerable.Range(0, PageGeometry.OrderCount).Select(_ => new List<long>())];
        long end = zone.StartPfn + zone.SpannedPages;
        for (int order = PageGeometry.MaxOrder; order >= 0; order--)
        {
            long size = 1L << order;
            end &= ~(size - 1);
            while (blocks[order].Count < row.BlocksOf(order) && end - size >= zone.StartPfn)
            {
                end -= size;
                if (!events.IsElsewhere(end, order))
                {
                    blocks[order].Add(end);
                }
            }
        }

        return blocks;
    }
}
