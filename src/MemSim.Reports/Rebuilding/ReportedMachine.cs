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

    /// <summary>Boots the machine as the report shows it, perhaps changed, and makes the request.</summary>
    /// <param name="request">The request.</param>
    /// <param name="change">Changes the zones; null for none.</param>
    /// <returns>Whether the request got its pages; null where the change cannot be built.</returns>
    public bool? Try(RequestFacts request, Func<ZoneFacts, ZoneFacts>? change)
    {
        AllocatorState state = new() { Name = "report", Architecture = _architecture, Kernel = _kernel, PageblockOrder = ArchitectureInfo.Of(_architecture).PageblockOrder, WatermarkBoostFactor = 0 };
        long next = 0;
        List<ZoneFacts> zones = [.. _evaluation.Eligible.Select(z => change is null ? z.Facts : change(z.Facts)).OrderBy(z => z.Node).ThenBy(z => z.Index)];
        foreach (ZoneFacts zone in zones)
        {
            if (ZoneOf(zone, state.PageblockOrder, ref next) is not { } built)
            {
                return null;
            }

            state.Zones.Add(built);
        }

        // kswapd and the OOM killer would change what is asked about; reclaim finds nothing.
        using Machine machine = StateRestorer.Restore(state);
        Gfp gfp = (request.Gfp & ~(Gfp.KswapdReclaim | Gfp.NoFail | Gfp.Account)) | Gfp.NoWarn | Gfp.NoRetry;
        return !machine.Cpus[0].AllocPages(gfp, request.Order).IsNull;
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

    private ZoneState? ZoneOf(ZoneFacts zone, int pageblockOrder, ref long next)
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

        long managed = Math.Max(zone.Managed!.Value, zone.Blocks!.Sum(b => b.Count << b.Order));
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
            FreePages = zone.Free!.Value,
            FreePagesCpuDiff = [0],
            StatThreshold = 1,
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
