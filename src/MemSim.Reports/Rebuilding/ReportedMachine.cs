using MemSim.Kernels;
using MemSim.Observability;
using MemSim.Reports.Explaining;
using MemSim.Reports.Kernels;

namespace MemSim.Reports.Rebuilding;

/// <summary>Rebuilds the allocator of a report's machine: zones, watermarks, reserves and free blocks by order and type; where they lie is invented.</summary>
/// <remarks>Pages that are not free are nobody's: they cannot be reclaimed or moved, so a request finds what the report lists and nothing else.</remarks>
internal sealed class ReportedMachine
{
    /// <summary>Machines beyond this many frames are not rebuilt: a report is asked for numbers, not for terabytes.</summary>
    private const long MaxFrames = 1L << 27;

    /// <summary>The most that counters of a zone may lag behind on a machine of many CPUs: 125 pages each.</summary>
    private const int MaxUnfolded = 125 * 1024;

    private const int TopOrder = 10;
    private static readonly (char Letter, byte Type)[] Types = [('U', 0), ('M', 1), ('E', 2), ('H', 3)];
    private static readonly Architecture[] Architectures = [Architecture.X86_64, Architecture.Arm64, Architecture.X86_32];

    private readonly Evaluation _evaluation;
    private readonly Architecture _architecture;
    private readonly KernelPersonality _kernel;

    private ReportedMachine(Evaluation evaluation, Architecture architecture, KernelPersonality kernel)
    {
        _evaluation = evaluation;
        _architecture = architecture;
        _kernel = kernel;
    }

    /// <summary>Prepares to rebuild the machine of an evaluation.</summary>
    /// <returns>The machine; null with the reason where it cannot be rebuilt faithfully.</returns>
    public static ReportedMachine? For(Evaluation evaluation, ZoneIndexes indexes, int pageKiB, KernelRange kernels, out string reason)
    {
        reason = Obstacle(evaluation, pageKiB, kernels);
        Architecture? architecture = null;
        foreach (Architecture candidate in Architectures)
        {
            string[] names = [.. ArchitectureInfo.Of(candidate).ZoneTypes.Select(NameOf)];
            if (architecture is null && names.Zip(indexes.Names).All(pair => pair.First == pair.Second) && indexes.Names.Count <= names.Length)
            {
                architecture = candidate;
            }
        }

        if (reason.Length == 0 && architecture is null)
        {
            reason = "its zones are those of no architecture that is simulated";
        }

        return reason.Length == 0 ? new ReportedMachine(evaluation, architecture!.Value, KernelPersonality.Parse(kernels.From.ToString())) : null;
    }

    /// <summary>The machine of a report with all of its zones, as a state to start from.</summary>
    /// <param name="report">The report.</param>
    /// <param name="kernel">The kernel whose rules apply; null for the one the report names.</param>
    /// <param name="warnings">What had to be invented.</param>
    /// <param name="reason">Why there is no such machine; empty where there is one.</param>
    public static AllocatorState? StateOf(KernelReport report, KernelRelease? kernel, out List<string> warnings, out string reason)
    {
        warnings = [];
        int pageKiB = report.PageSizeKiB ?? 4;
        KernelRange range = KernelRange.Of(report, kernel);
        ZoneIndexes indexes = ZoneIndexes.Of(report, range);

        // For a request that may go anywhere every zone counts.
        Evaluation whole = Evaluation.Of(report, new RequestFacts(0, Gfp.HighUserMovable & ~Gfp.HardWall), Explanations.RulesOf(report, range), indexes, pageKiB, isAnywhere: true);
        if (!whole.Eligible.Any())
        {
            reason = "it has no line of a zone with memory";
            return null;
        }

        if (For(whole, indexes, pageKiB, range, out reason) is not { } machine)
        {
            return null;
        }

        AllocatorState? state = machine.State(null, whole: true);
        if (state is null)
        {
            reason = "its zones are too large";
            return null;
        }

        foreach (ZoneState zone in state.Zones)
        {
            IReadOnlyList<long> reserve = report.Zones.First(z => z.Node == zone.Node && z.Name == NameOf(zone.Type)).LowmemReserve ?? [];
            for (int i = 0; i < zone.LowmemReserve.Length; i++)
            {
                zone.LowmemReserve[i] = reserve.Count == 0 ? 0 : reserve[Math.Min(i, reserve.Count - 1)];
            }
        }

        warnings.Add($"made of a report: {range.Reason}; where the free blocks lie is invented, and how many blocks of each migrate type a list has where several are named");
        warnings.Add("what is not free is nobody's: it can be neither freed, reclaimed nor moved; per-CPU lists are empty");
        return state;
    }

    /// <summary>Boots the machine as the report shows it, perhaps changed, and makes the request.</summary>
    /// <param name="request">The request.</param>
    /// <param name="change">Changes the zones; null for none.</param>
    /// <returns>Whether the request got its pages; null where the change cannot be built.</returns>
    public bool? Try(RequestFacts request, Func<ZoneFacts, ZoneFacts>? change)
    {
        if (State(change, whole: false) is not { } state)
        {
            return null;
        }

        // kswapd and the OOM killer would change what is asked about; reclaim finds nothing.
        using Machine machine = StateRestorer.Restore(state);
        Gfp gfp = (request.Gfp & ~(Gfp.KswapdReclaim | Gfp.NoFail | Gfp.Account)) | Gfp.NoWarn | Gfp.NoRetry;
        return !machine.Cpus[0].AllocPages(gfp, request.Order).IsNull;
    }

    /// <summary>The state of the allocator; null where it cannot be built.</summary>
    /// <param name="change">Changes the zones; null for none.</param>
    /// <param name="whole">Whether the zones have their size; otherwise they are as large as what is free in them, which is all that a request sees.</param>
    private AllocatorState? State(Func<ZoneFacts, ZoneFacts>? change, bool whole)
    {
        AllocatorState state = new() { Name = "report", Architecture = _architecture, Kernel = _kernel, PageblockOrder = ArchitectureInfo.Of(_architecture).PageblockOrder, WatermarkBoostFactor = 0 };
        long next = 0;
        List<ZoneFacts> zones = [.. _evaluation.Eligible.Select(z => change is null ? z.Facts : change(z.Facts)).OrderBy(z => z.Node).ThenBy(z => z.Index)];
        foreach (ZoneFacts zone in zones)
        {
            if (ZoneOf(zone, state.PageblockOrder, whole, ref next) is not { } built)
            {
                return null;
            }

            state.Zones.Add(built);
        }

        return state;
    }

    private static string Obstacle(Evaluation evaluation, int pageKiB, KernelRange kernels)
    {
        KernelRule modelled = KernelRules.Of(kernels.From >= new KernelRelease(6, 2) ? kernels.From : new KernelRelease(6, 1, 200));
        bool reserved = evaluation.Eligible.Any(z => z.Facts.HighAtomic != 0 || z.Facts.HasType('H'));
        return pageKiB != 4 ? "its pages are not of 4 KiB"
            : kernels.From < new KernelRelease(5, 9) || kernels.To == KernelRelease.Newest ? "its kernel is not one whose allocator is simulated (5.9 and later)"
            : reserved && modelled != evaluation.Rules ? "its kernel treats the highatomic reserve in a way that is not simulated"
            : evaluation.Eligible.Any(z => z.Eligible is null) ? "it is not known which zones the request may use"
            : evaluation.Eligible.Any(z => z.Facts.Cma != 0 || z.Facts.HasType('C')) ? "it has free CMA, whose areas the report does not tell"
            : evaluation.Eligible.Any(z => z.Facts.HighAtomicIsLeast) ? "the size of its highatomic reserve is not printed"
            : evaluation.Eligible.Any(z => z.Facts is { Min: null } or { Free: null } or { Reserve: null } or { Blocks: null } or { BlocksAreCut: true } or { Managed: null }) ? "lines of a zone are missing"
            : evaluation.Eligible.Any(z => z.Facts.Blocks!.Count != TopOrder + 1 || z.Facts.Blocks[^1].Order != TopOrder) ? "it has another number of orders than 11"
            : evaluation.Eligible.Sum(z => z.Facts.Managed) > MaxFrames ? "it is too large"
            : evaluation.Eligible.Any(z => z.Facts.Blocks!.Any(b => b.Types?.Contains('I') == true)) ? "pages are being isolated"
            : "";
    }

    private ZoneState? ZoneOf(ZoneFacts zone, int pageblockOrder, bool whole, ref long next)
    {
        int index = ArchitectureInfo.Of(_architecture).ZoneTypes.Select(NameOf).ToList().IndexOf(zone.Name);
        long start = next;
        long cursor = start;
        long[][][] lists = [.. Enumerable.Range(0, TopOrder + 1).Select(_ => Enumerable.Range(0, 6).Select(_ => Array.Empty<long>()).ToArray())];
        List<(long First, long End, byte Type)> ranges = [];
        foreach ((char letter, byte type) in Types)
        {
            long first = cursor;
            for (int order = TopOrder; order >= 0; order--)
            {
                lists[order][type] = Place(CountOf(zone.Blocks![order], letter), order, ref cursor);
                if (cursor - start > MaxFrames)
                {
                    return null;
                }
            }

            cursor = Align(cursor, 1L << Math.Max(pageblockOrder, TopOrder));
            ranges.Add((first, cursor, type));
        }

        // The counter lags behind the lists by what CPUs have not folded into it; watermarks are checked against it.
        long listed = zone.Blocks!.Sum(b => b.Count << b.Order);
        long unfolded = Math.Abs(listed - zone.Free!.Value) <= MaxUnfolded ? listed - zone.Free.Value : 0;
        long managed = whole ? Math.Max(zone.Managed!.Value, listed) : listed;
        long spanned = Align(Math.Max(cursor - start, managed), 1L << TopOrder);
        next = start + spanned;
        if (index < 0 || next > MaxFrames * 4)
        {
            return null;
        }

        ZoneState state = new()
        {
            Node = zone.Node,
            Type = ArchitectureInfo.Of(_architecture).ZoneTypes[index],
            StartPfn = start,
            SpannedPages = spanned,
            PresentPages = Math.Max(managed, 1),
            ManagedPages = managed,
            WatermarkMin = zone.Min!.Value - zone.Boost,
            WatermarkLow = (zone.Low ?? zone.Min.Value) - zone.Boost,
            WatermarkHigh = (zone.High ?? zone.Min.Value) - zone.Boost,
            WatermarkBoost = zone.Boost,
            ReservedHighAtomicPages = zone.HighAtomic,
            LowmemReserve = [.. Enumerable.Repeat(zone.Reserve!.Value, ArchitectureInfo.Of(_architecture).ZoneTypes.Count)],
            FreePages = listed - unfolded,
            FreePagesCpuDiff = [(int)unfolded],
            StatThreshold = (int)Math.Max(1, Math.Abs(unfolded)),
            FreeLists = lists,
            FirstPageblock = start >> pageblockOrder,
            Pageblocks = [.. Enumerable.Range(0, (int)(spanned >> pageblockOrder)).Select(i => ranges.Find(r => start + ((long)i << pageblockOrder) < r.End) is { End: > 0 } range ? range.Type : (byte)1)],
        };
        state.Pcp.Add(new PcpState { High = 0, Batch = 1, Lists = [.. Enumerable.Range(0, 14).Select(_ => Array.Empty<long>())] });
        return state;
    }

    /// <summary>Places blocks so that no two of them are buddies: those would be one block.</summary>
    private static long[] Place(long count, int order, ref long cursor)
    {
        long step = order == TopOrder ? 1L << order : 2L << order;
        if (count > MaxFrames >> order)
        {
            cursor = long.MaxValue / 2;
            return [];
        }

        long[] frames = new long[count];
        for (long i = 0; i < count; i++)
        {
            frames[i] = Align(cursor, step);
            cursor = frames[i] + (1L << order);
        }

        return frames;
    }

    /// <summary>How many blocks of a line are of a type: the letters tell which are there, not how many of each. One of each, and the rest of the first that anybody may take.</summary>
    private static long CountOf(FreeBlocks blocks, char letter)
    {
        string types = string.IsNullOrEmpty(blocks.Types) ? "M" : blocks.Types;
        if (blocks.Count == 0 || !types.Contains(letter))
        {
            return 0;
        }

        char main = types.Contains('U') ? 'U' : types.Contains('M') ? 'M' : types[0];
        return letter == main ? Math.Max(1, blocks.Count - types.Length + 1) : 1;
    }

    private static long Align(long value, long to) => (value + to - 1) / to * to;

    private static string NameOf(ZoneType type) => type switch
    {
        ZoneType.Dma => "DMA",
        ZoneType.Dma32 => "DMA32",
        ZoneType.HighMem => "HighMem",
        ZoneType.Movable => "Movable",
        ZoneType.Device => "Device",
        _ => "Normal",
    };
}
