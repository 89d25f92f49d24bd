using System.Text.Json;
using MemSim.Captures;
using MemSim.Observability;
using MemSim.Recordings.Import;

namespace MemSim.Recordings;

/// <summary>Reads a recorded allocator state (<c>state-*.json.gz</c>) and what <see cref="ExactStateWriter"/> wrote.</summary>
/// <remarks>
/// Beyond the recordings' fields it knows <c>architecture</c>, a zone's <c>node</c>, and <c>other_cpus</c> with the <c>pcp</c> and
/// <c>nr_free_pages_cpu_diff</c> of CPUs 1, 2, ... Unknown fields are skipped.
/// </remarks>
public static class ExactStateReader
{
    private const int MaxFileBytes = 1 << 30;
    private const long MaxPages = 1L << 40;
    private const int MaxCpus = 8192;

    /// <summary>Reads a state, plain or packed.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The state, checked: frames inside their zones, blocks aligned, counts equal to what the lists hold.</returns>
    /// <exception cref="InputFileException">The file cannot be read or holds no valid state.</exception>
    public static AllocatorState Read(string path) => Parse(InputFile.ReadAllBytes(path, MaxFileBytes), path);

    /// <summary>Reads a state from unpacked JSON.</summary>
    /// <param name="json">The document as UTF-8.</param>
    /// <param name="path">The name for messages.</param>
    /// <exception cref="InputFileException">The document holds no valid state.</exception>
    public static AllocatorState Parse(ReadOnlySpan<byte> json, string path)
    {
        JsonCursor cursor = new(json, path);
        cursor.BeginDocument();
        RecordedDocument document = ReadDocument(ref cursor);
        cursor.EndDocument();
        return document.Build(path);
    }

    private static RecordedDocument ReadDocument(ref JsonCursor cursor)
    {
        RecordedDocument document = new();
        while (cursor.NextField(out string name))
        {
            switch (name)
            {
                case "t":
                    if (cursor.Text() != "state")
                    {
                        throw cursor.Fault("'t' is not \"state\"");
                    }

                    document.IsState = true;
                    break;
                case "tag":
                    document.Tag = cursor.Text();
                    break;
                case "when":
                    document.When = cursor.Text();
                    break;
                case "architecture":
                    document.Architecture = ReadArchitecture(ref cursor);
                    break;
                case "max_order":
                    cursor.Int(PageGeometry.OrderCount, PageGeometry.OrderCount);
                    break;
                case "pageblock_order":
                    document.PageblockOrder = cursor.Int(1, PageGeometry.MaxOrder);
                    break;
                case "migrate_types":
                    document.MigrateTypes = cursor.Int(RecordedTypes.WithoutCma, RecordedTypes.WithCma);
                    break;
                case "nr_pcp_lists":
                    cursor.Int(RecordedTypes.PcpLists, RecordedTypes.PcpLists);
                    break;
                case "nr_zones":
                    document.ZoneCount = cursor.Int(1, ZoneTypeNames.Count);
                    break;
                case "defrag_mode":
                    document.DefragMode = cursor.Int(-1, 1);
                    break;
                case "kernel":
                    document.Kernel = cursor.Text();
                    break;
                case "watermark_boost_factor":
                    document.WatermarkBoostFactor = cursor.Int(0, int.MaxValue);
                    break;
                case "zones":
                    cursor.BeginArray();
                    while (cursor.NextElement())
                    {
                        document.Zones.Add(ReadZone(ref cursor));
                    }

                    break;
                default:
                    cursor.Skip();
                    break;
            }
        }

        return document;
    }

    private static ArchitectureInfo ReadArchitecture(ref JsonCursor cursor)
    {
        string name = cursor.Text();
        foreach (Architecture architecture in Enum.GetValues<Architecture>())
        {
            if (ArchitectureInfo.Of(architecture).Name == name)
            {
                return ArchitectureInfo.Of(architecture);
            }
        }

        throw cursor.Fault($"'architecture' is \"{name}\", which is unknown");
    }

    private static RecordedZone ReadZone(ref JsonCursor cursor)
    {
        RecordedZone zone = new() { Line = cursor.Line };
        ZoneState state = zone.State;
        cursor.BeginObject();
        while (cursor.NextField(out string name))
        {
            bool repeated = !zone.Fields.Add(name);
            if (repeated)
            {
                throw cursor.Fault($"'{name}' comes twice in a zone");
            }

            switch (name)
            {
                case "idx":
                    zone.Index = cursor.Int(0, ZoneTypeNames.Count - 1);
                    break;
                case "name":
                    zone.Name = cursor.Text();
                    break;
                case "node":
                    state.Node = cursor.Int(0, 1023);
                    break;
                case "start_pfn":
                    state.StartPfn = cursor.Number(0, MaxPages);
                    break;
                case "spanned":
                    state.SpannedPages = cursor.Number(0, MaxPages);
                    break;
                case "present":
                    state.PresentPages = cursor.Number(0, MaxPages);
                    break;
                case "managed":
                    state.ManagedPages = cursor.Number(0, MaxPages);
                    break;
                case "wmark_min":
                    state.WatermarkMin = cursor.Number(0, MaxPages);
                    break;
                case "wmark_low":
                    state.WatermarkLow = cursor.Number(0, MaxPages);
                    break;
                case "wmark_high":
                    state.WatermarkHigh = cursor.Number(0, MaxPages);
                    break;
                case "wmark_promo":
                    state.WatermarkPromo = cursor.Number(0, MaxPages);
                    break;
                case "watermark_boost":
                    state.WatermarkBoost = cursor.Number(0, MaxPages);
                    break;
                case "nr_reserved_highatomic":
                    state.ReservedHighAtomicPages = cursor.Number(0, MaxPages);
                    break;
                case "nr_free_highatomic":
                    state.FreeHighAtomicPages = cursor.Number(0, MaxPages);
                    break;
                case "nr_free_blocks_global":
                    state.FreeBlockPages = cursor.Number(-MaxPages, MaxPages);
                    break;
                case "nr_free_blocks_cpu_diff":
                    zone.BlockDiffs[0] = cursor.Int(-MaxCpus, MaxCpus);
                    break;
                case "nr_isolate_pageblock":
                    state.IsolatedPageblocks = cursor.Number(0, MaxPages);
                    break;
                case "zone_flags":
                    state.Flags = (uint)cursor.Number(0, uint.MaxValue);
                    break;
                case "lowmem_reserve":
                    state.LowmemReserve = cursor.Numbers(0, long.MaxValue);
                    break;
                case "nr_free_pages_global":
                    // The kernel's counter may lag below 0 while CPUs hold the rest.
                    state.FreePages = cursor.Number(-MaxPages, MaxPages);
                    break;
                case "nr_free_pages_cpu_diff":
                    zone.CpuDiffs[0] = cursor.Int(-MaxCpus, MaxCpus);
                    break;
                case "stat_threshold":
                    state.StatThreshold = cursor.Int(0, 127);
                    break;
                case "pcp":
                    zone.Pcp[0] = ReadPcp(ref cursor);
                    break;
                case "other_cpus":
                    ReadOtherCpus(ref cursor, zone);
                    break;
                case "free_area":
                    cursor.BeginArray();
                    while (cursor.NextElement())
                    {
                        zone.FreeAreas.Add(ReadFreeArea(ref cursor));
                    }

                    break;
                case "pageblock_first":
                    state.FirstPageblock = cursor.Number(0, MaxPages);
                    break;
                case "pageblocks":
                    zone.Pageblocks = cursor.Text();
                    break;
                case "lru_or_movable":
                    ReadRanges(ref cursor, state.LruOrMovable);
                    break;
                default:
                    cursor.Skip();
                    break;
            }
        }

        return zone;
    }

    private static void ReadOtherCpus(ref JsonCursor cursor, RecordedZone zone)
    {
        cursor.BeginArray();
        while (cursor.NextElement())
        {
            cursor.BeginObject();
            PcpState? pcp = null;
            int? diff = null;
            int blockDiff = 0;
            while (cursor.NextField(out string name))
            {
                switch (name)
                {
                    case "nr_free_pages_cpu_diff":
                        diff = cursor.Int(-MaxCpus, MaxCpus);
                        break;
                    case "nr_free_blocks_cpu_diff":
                        blockDiff = cursor.Int(-MaxCpus, MaxCpus);
                        break;
                    case "pcp":
                        pcp = ReadPcp(ref cursor);
                        break;
                    default:
                        cursor.Skip();
                        break;
                }
            }

            zone.BlockDiffs.Add(blockDiff);
            if (zone.Pcp.Count >= MaxCpus)
            {
                throw cursor.Fault($"'other_cpus' has more than {MaxCpus} entries");
            }

            zone.Pcp.Add(pcp ?? throw cursor.Fault("'other_cpus' has an entry without 'pcp'"));
            zone.CpuDiffs.Add(diff ?? throw cursor.Fault("'other_cpus' has an entry without 'nr_free_pages_cpu_diff'"));
        }
    }

    private static PcpState ReadPcp(ref JsonCursor cursor)
    {
        PcpState pcp = new() { Lists = [] };
        int? least = null;
        int? most = null;
        bool hasCount = false;
        int fields = 0;
        cursor.BeginObject();
        while (cursor.NextField(out string name))
        {
            fields++;
            switch (name)
            {
                case "count":
                    pcp.Count = cursor.Int(0, int.MaxValue);
                    break;
                case "high":
                    pcp.High = cursor.Int(0, int.MaxValue);
                    break;
                case "batch":
                    pcp.Batch = cursor.Int(0, int.MaxValue);
                    break;
                case "free_factor":
                    pcp.FreeFactor = cursor.Int(0, 62);
                    break;
                case "high_min":
                    least = cursor.Int(0, int.MaxValue);
                    break;
                case "high_max":
                    most = cursor.Int(0, int.MaxValue);
                    break;
                case "alloc_factor":
                    pcp.AllocFactor = cursor.Int(0, 31);
                    break;
                case "free_count":
                    hasCount = true;
                    pcp.FreeFactor = cursor.Int(0, int.MaxValue);
                    break;
                case "flags":
                    pcp.Flags = cursor.Int(0, int.MaxValue);
                    break;
                case "lists":
                    pcp.Lists = ReadLists(ref cursor, RecordedTypes.PcpLists);
                    break;
                case "cached_mt":
                    // Empty where the source of a state does not tell the types.
                    pcp.CachedTypes = [.. ReadLists(ref cursor, RecordedTypes.PcpLists, mayBeEmpty: true).Select(ToTypes)];
                    break;
                default:
                    fields--;
                    cursor.Skip();
                    break;
            }
        }

        if (hasCount && least is int min && most is int max)
        {
            // Nothing to say about cached types: these kernels keep none.
            pcp.HighBounds = (min, max);
            return fields == 9 && pcp.CachedTypes.Length == 0
                ? pcp
                : throw cursor.Fault("'pcp' does not have each of count, high, high_min, high_max, batch, alloc_factor, free_count, flags and lists once");
        }

        return fields == 6 ? pcp : throw cursor.Fault("'pcp' does not have each of count, high, batch, free_factor, lists and cached_mt once");
    }

    private static byte[] ToTypes(long[] numbers) => Array.ConvertAll(numbers, number => number > byte.MaxValue ? byte.MaxValue : (byte)number);

    private static (long Blocks, long[][] Lists) ReadFreeArea(ref JsonCursor cursor)
    {
        long? blocks = null;
        long[][]? lists = null;
        cursor.BeginObject();
        while (cursor.NextField(out string name))
        {
            switch (name)
            {
                case "nr_free":
                    blocks = cursor.Number(0, MaxPages);
                    break;
                case "lists":
                    lists = ReadLists(ref cursor, expected: null);
                    break;
                default:
                    cursor.Skip();
                    break;
            }
        }

        return (blocks ?? throw cursor.Fault("a free area lacks 'nr_free'"), lists ?? throw cursor.Fault("a free area lacks 'lists'"));
    }

    private static long[][] ReadLists(ref JsonCursor cursor, int? expected, bool mayBeEmpty = false)
    {
        List<long[]> lists = [];
        cursor.BeginArray();
        while (cursor.NextElement())
        {
            lists.Add(cursor.Numbers(0, MaxPages));
        }

        return expected is not int count || lists.Count == count || (mayBeEmpty && lists.Count == 0)
            ? [.. lists]
            : throw cursor.Fault($"there are {lists.Count} lists instead of {count}");
    }

    private static void ReadRanges(ref JsonCursor cursor, List<(long Start, long Count)> ranges)
    {
        cursor.BeginArray();
        while (cursor.NextElement())
        {
            if (cursor.Token != JsonTokenType.StartArray || cursor.Numbers(0, MaxPages) is not [long start, long count])
            {
                throw cursor.Fault("'lru_or_movable' has an entry that is not [first frame, pages]");
            }

            ranges.Add((start, count));
        }
    }
}
