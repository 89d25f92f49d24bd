using System.Text.Json;
using MemSim.Observability;
using MemSim.Recordings.Import;

namespace MemSim.Recordings;

/// <summary>Writes an allocator state in the format of the recordings, for <see cref="ExactStateReader"/> and other readers of that format.</summary>
public static class ExactStateWriter
{
    /// <summary>Writes a state as JSON on one line.</summary>
    /// <param name="state">The state. A <see cref="AllocatorState.Name"/> of the form <c>tag/when</c> is taken apart.</param>
    /// <param name="stream">Takes the UTF-8 bytes; stays open.</param>
    public static void Write(AllocatorState state, Stream stream)
    {
        ArgumentNullException.ThrowIfNull(state);
        ArgumentNullException.ThrowIfNull(stream);
        ArchitectureInfo architecture = ArchitectureInfo.Of(state.Architecture);
        RecordedTypes types = new(architecture.HasCma || HasCma(state) || (state.Kernel.Allocator.HasCma && state.Architecture == Architecture.X86_64) ? RecordedTypes.WithCma : RecordedTypes.WithoutCma);
        int slash = state.Name.LastIndexOf('/');

        using Utf8JsonWriter json = new(stream);
        json.WriteStartObject();
        json.WriteString("t", "state");
        json.WriteString("tag", slash < 0 ? state.Name : state.Name[..slash]);
        json.WriteString("when", slash < 0 ? "" : state.Name[(slash + 1)..]);
        json.WriteString("architecture", architecture.Name);
        json.WriteString("kernel", state.Kernel.Name);
        json.WriteNumber("defrag_mode", state.DefragMode switch { true => 1, false => 0, null => -1 });
        json.WriteNumber("max_order", PageGeometry.OrderCount);
        json.WriteNumber("pageblock_order", state.PageblockOrder);
        json.WriteNumber("migrate_types", types.Count);
        json.WriteNumber("nr_pcp_lists", RecordedTypes.PcpLists);
        json.WriteNumber("watermark_boost_factor", state.WatermarkBoostFactor);
        json.WriteNumber("nr_zones", architecture.ZoneTypes.Count);
        WriteZonelist(json, state, architecture);
        json.WriteStartArray("zones");
        foreach (ZoneState zone in state.Zones)
        {
            WriteZone(json, zone, architecture, types, state.CpuCount);
        }

        json.WriteEndArray();
        json.WriteEndObject();
        json.Flush();
        stream.WriteByte((byte)'\n');
    }

    /// <summary>Writes a state to a file, packed with gzip when the name ends in <c>.gz</c>.</summary>
    /// <param name="state">The state.</param>
    /// <param name="path">The file, which is replaced.</param>
    public static void Write(AllocatorState state, string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        using FileStream file = File.Create(path);
        if (!path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase))
        {
            Write(state, file);
            return;
        }

        using System.IO.Compression.GZipStream packed = new(file, System.IO.Compression.CompressionLevel.Optimal);
        Write(state, packed);
    }

    private static bool HasCma(AllocatorState state)
    {
        foreach (ZoneState zone in state.Zones)
        {
            if (zone.Pageblocks.AsSpan().Contains((byte)MigrateType.Cma) || zone.FreeLists.Any(lists => lists.Length > (int)MigrateType.Cma && lists[(int)MigrateType.Cma].Length > 0))
            {
                return true;
            }
        }

        return false;
    }

    private static void WriteZonelist(Utf8JsonWriter json, AllocatorState state, ArchitectureInfo architecture)
    {
        // Of the first node, as the recordings have only one.
        json.WriteStartArray("zonelist");
        for (int i = state.Zones.Count - 1; i >= 0; i--)
        {
            if (state.Zones[i].Node == state.Zones[0].Node && state.Zones[i].ManagedPages > 0)
            {
                json.WriteNumberValue(architecture.IndexOf(state.Zones[i].Type));
            }
        }

        json.WriteEndArray();
    }

    private static void WriteZone(Utf8JsonWriter json, ZoneState zone, ArchitectureInfo architecture, RecordedTypes types, int cpus)
    {
        json.WriteStartObject();
        json.WriteNumber("idx", architecture.IndexOf(zone.Type));
        json.WriteString("name", zone.Type.KernelName());
        json.WriteNumber("node", zone.Node);
        json.WriteNumber("start_pfn", zone.StartPfn);
        json.WriteNumber("spanned", zone.SpannedPages);
        json.WriteNumber("present", zone.PresentPages);
        json.WriteNumber("managed", zone.ManagedPages);
        json.WriteNumber("wmark_min", zone.WatermarkMin);
        json.WriteNumber("wmark_low", zone.WatermarkLow);
        json.WriteNumber("wmark_high", zone.WatermarkHigh);
        json.WriteNumber("wmark_promo", zone.WatermarkPromo);
        json.WriteNumber("watermark_boost", zone.WatermarkBoost);
        json.WriteNumber("nr_reserved_highatomic", zone.ReservedHighAtomicPages);
        if (zone.FreeHighAtomicPages is long freeHighAtomic)
        {
            json.WriteNumber("nr_free_highatomic", freeHighAtomic);
        }

        if (zone.FreeBlockPages is long freeBlocks)
        {
            json.WriteNumber("nr_free_blocks_global", freeBlocks);
            json.WriteNumber("nr_free_blocks_cpu_diff", BlockDiff(zone, 0));
        }

        json.WriteNumber("nr_isolate_pageblock", zone.IsolatedPageblocks);
        json.WriteNumber("zone_flags", zone.Flags);
        json.WriteStartArray("lowmem_reserve");
        for (int i = 0; i < architecture.ZoneTypes.Count; i++)
        {
            json.WriteNumberValue(i < zone.LowmemReserve.Length ? zone.LowmemReserve[i] : 0);
        }

        json.WriteEndArray();
        json.WriteNumber("nr_free_pages_global", zone.FreePages);
        json.WriteNumber("nr_free_pages_cpu_diff", Diff(zone, 0));
        json.WriteNumber("stat_threshold", zone.StatThreshold);
        WritePcp(json, Pcp(zone, 0), types);
        WriteOtherCpus(json, zone, types, cpus);
        WriteFreeAreas(json, zone, types);
        json.WriteNumber("pageblock_first", zone.FirstPageblock);
        json.WriteString("pageblocks", string.Create(zone.Pageblocks.Length, (zone, types), static (text, source) =>
        {
            for (int i = 0; i < text.Length; i++)
            {
                byte type = source.zone.Pageblocks[i];
                text[i] = type == ZoneState.NoPageblock ? '.' : (char)('0' + source.types.ToRecorded((MigrateType)type));
            }
        }));
        json.WriteStartArray("lru_or_movable");
        foreach ((long start, long count) in zone.LruOrMovable)
        {
            WriteNumbers(json, [start, count]);
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static int Diff(ZoneState zone, int cpu) => cpu < zone.FreePagesCpuDiff.Length ? zone.FreePagesCpuDiff[cpu] : 0;

    private static int BlockDiff(ZoneState zone, int cpu) => cpu < zone.FreeBlockPagesCpuDiff.Length ? zone.FreeBlockPagesCpuDiff[cpu] : 0;

    private static PcpState Pcp(ZoneState zone, int cpu) => cpu < zone.Pcp.Count ? zone.Pcp[cpu] : new PcpState();

    private static void WriteOtherCpus(Utf8JsonWriter json, ZoneState zone, RecordedTypes types, int cpus)
    {
        if (cpus < 2)
        {
            return;
        }

        json.WriteStartArray("other_cpus");
        for (int cpu = 1; cpu < cpus; cpu++)
        {
            json.WriteStartObject();
            json.WriteNumber("nr_free_pages_cpu_diff", Diff(zone, cpu));
            if (zone.FreeBlockPages is not null)
            {
                json.WriteNumber("nr_free_blocks_cpu_diff", BlockDiff(zone, cpu));
            }

            WritePcp(json, Pcp(zone, cpu), types);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WritePcp(Utf8JsonWriter json, PcpState pcp, RecordedTypes types)
    {
        json.WriteStartObject("pcp");
        json.WriteNumber("count", pcp.Count);
        json.WriteNumber("high", pcp.High);
        json.WriteNumber("batch", pcp.Batch);
        if (pcp.HighBounds is (int least, int most))
        {
            json.WriteNumber("high_min", least);
            json.WriteNumber("high_max", most);
            json.WriteNumber("alloc_factor", pcp.AllocFactor);
            json.WriteNumber("free_count", pcp.FreeFactor);
            json.WriteNumber("flags", pcp.Flags);
        }
        else
        {
            json.WriteNumber("free_factor", pcp.FreeFactor);
        }

        json.WriteStartArray("lists");
        for (int index = 0; index < RecordedTypes.PcpLists; index++)
        {
            WriteNumbers(json, index < pcp.Lists.Length ? pcp.Lists[index] : []);
        }

        json.WriteEndArray();
        if (pcp.HighBounds is not null)
        {
            json.WriteEndObject();
            return;
        }

        json.WriteStartArray("cached_mt");
        foreach (byte[] cached in pcp.CachedTypes)
        {
            WriteNumbers(json, Array.ConvertAll(cached, type => (long)types.ToRecorded((MigrateType)type)));
        }

        json.WriteEndArray();
        json.WriteEndObject();
    }

    private static void WriteFreeAreas(Utf8JsonWriter json, ZoneState zone, RecordedTypes types)
    {
        json.WriteStartArray("free_area");
        for (int order = 0; order < PageGeometry.OrderCount; order++)
        {
            long[][] lists = order < zone.FreeLists.Length ? zone.FreeLists[order] : [];
            json.WriteStartObject();
            json.WriteNumber("nr_free", lists.Sum(list => (long)list.Length));
            json.WriteStartArray("lists");
            for (int type = 0; type < types.Count; type++)
            {
                int index = (int)types.FromRecorded(type);
                WriteNumbers(json, index < lists.Length ? lists[index] : []);
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteNumbers(Utf8JsonWriter json, long[] numbers)
    {
        json.WriteStartArray();
        foreach (long number in numbers)
        {
            json.WriteNumberValue(number);
        }

        json.WriteEndArray();
    }
}
