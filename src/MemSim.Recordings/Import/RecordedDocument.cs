using MemSim.Kernels;
using MemSim.Observability;

namespace MemSim.Recordings.Import;

/// <summary>A zone as the file has it, before it is known which numbers its migrate types have.</summary>
internal sealed class RecordedZone
{
    private static readonly string[] RequiredFields =
    [
        "idx", "name", "start_pfn", "spanned", "present", "managed", "wmark_min", "wmark_low", "wmark_high", "wmark_promo", "watermark_boost", "nr_reserved_highatomic",
        "nr_isolate_pageblock", "zone_flags", "lowmem_reserve", "nr_free_pages_global", "nr_free_pages_cpu_diff", "stat_threshold", "pcp", "free_area", "pageblock_first",
        "pageblocks", "lru_or_movable",
    ];

    public int Line { get; init; }

    public HashSet<string> Fields { get; } = new(StringComparer.Ordinal);

    public int Index { get; set; } = -1;

    public string Name { get; set; } = "";

    public ZoneState State { get; } = new();

    public List<int> CpuDiffs { get; } = [0];

    public List<int> BlockDiffs { get; } = [0];

    public List<PcpState> Pcp { get; } = [new()];

    public List<(long Blocks, long[][] Lists)> FreeAreas { get; } = [];

    public string Pageblocks { get; set; } = "";

    /// <summary>Translates and checks the zone; returns the first fault or null.</summary>
    public string? Complete(ArchitectureInfo architecture, RecordedTypes types, int pageblockOrder)
    {
        foreach (string field in RequiredFields)
        {
            if (!Fields.Contains(field))
            {
                return $"'{field}' is missing";
            }
        }

        if (Index >= architecture.ZoneTypes.Count || architecture.ZoneTypes[Index].KernelName() != Name)
        {
            return $"there is no zone {Index} named {Name} on {architecture.Name}";
        }

        State.Type = architecture.ZoneTypes[Index];
        if (State.LowmemReserve.Length != architecture.ZoneTypes.Count)
        {
            return $"'lowmem_reserve' has {State.LowmemReserve.Length} numbers instead of {architecture.ZoneTypes.Count}";
        }

        State.FreePagesCpuDiff = [.. CpuDiffs];
        State.FreeBlockPagesCpuDiff = State.FreeBlockPages is null ? [] : [.. BlockDiffs];
        State.Pcp.AddRange(Pcp);
        return TranslateFreeAreas(types) ?? TranslateTypes(types) ?? ZoneStateCheck.FirstFault(State, pageblockOrder);
    }

    private string? TranslateFreeAreas(RecordedTypes types)
    {
        if (FreeAreas.Count != PageGeometry.OrderCount)
        {
            return $"there are {FreeAreas.Count} free areas instead of {PageGeometry.OrderCount}";
        }

        State.FreeLists = new long[PageGeometry.OrderCount][][];
        for (int order = 0; order < FreeAreas.Count; order++)
        {
            (long blocks, long[][] lists) = FreeAreas[order];
            if (lists.Length != types.Count)
            {
                return $"the free area of order {order} has {lists.Length} lists instead of {types.Count}";
            }

            State.FreeLists[order] = EmptyLists();
            long listed = 0;
            for (int type = 0; type < types.Count; type++)
            {
                State.FreeLists[order][(int)types.FromRecorded(type)] = lists[type];
                listed += lists[type].Length;
            }

            if (listed != blocks)
            {
                return $"the free area of order {order} has nr_free {blocks} but lists {listed} blocks";
            }
        }

        return null;
    }

    private string? TranslateTypes(RecordedTypes types)
    {
        State.Pageblocks = new byte[Pageblocks.Length];
        for (int i = 0; i < Pageblocks.Length; i++)
        {
            int number = Pageblocks[i] - '0';
            if (Pageblocks[i] != '.' && (number < 0 || number >= types.Count))
            {
                return $"'pageblocks' holds '{Pageblocks[i]}' at position {i}";
            }

            State.Pageblocks[i] = Pageblocks[i] == '.' ? ZoneState.NoPageblock : (byte)types.FromRecorded(number);
        }

        foreach (byte[] cached in State.Pcp.SelectMany(pcp => pcp.CachedTypes))
        {
            for (int i = 0; i < cached.Length; i++)
            {
                if (cached[i] >= types.Count)
                {
                    return $"'cached_mt' holds {cached[i]}";
                }

                cached[i] = (byte)types.FromRecorded(cached[i]);
            }
        }

        return null;
    }

    private static long[][] EmptyLists()
    {
        long[][] lists = new long[(int)MigrateType.Isolate + 1][];
        Array.Fill(lists, []);
        return lists;
    }
}

/// <summary>The document as far as it has been read.</summary>
internal sealed class RecordedDocument
{
    public bool IsState { get; set; }

    public string Tag { get; set; } = "";

    public string When { get; set; } = "";

    public ArchitectureInfo Architecture { get; set; } = ArchitectureInfo.X86_64;

    public int? PageblockOrder { get; set; }

    public int? MigrateTypes { get; set; }

    public int? ZoneCount { get; set; }

    public int? WatermarkBoostFactor { get; set; }

    /// <summary>-1: the kernel has none.</summary>
    public int DefragMode { get; set; } = -1;

    /// <summary>The kernel, where the file names it.</summary>
    public string? Kernel { get; set; }

    public List<RecordedZone> Zones { get; } = [];

    public AllocatorState Build(string path)
    {
        string missing = !IsState ? "t" : PageblockOrder is null ? "pageblock_order" : MigrateTypes is null ? "migrate_types" : ZoneCount is null ? "nr_zones"
            : WatermarkBoostFactor is null ? "watermark_boost_factor" : Zones.Count == 0 ? "zones" : "";
        if (missing.Length > 0)
        {
            throw new InputFileException(path, 0, $"'{missing}' is missing or empty");
        }

        if (ZoneCount != Architecture.ZoneTypes.Count)
        {
            throw new InputFileException(path, 0, $"'nr_zones' is {ZoneCount}, but {Architecture.Name} has {Architecture.ZoneTypes.Count} zones");
        }

        AllocatorState state = new()
        {
            Name = When.Length == 0 ? Tag : $"{Tag}/{When}",
            Architecture = Architecture.Architecture,
            PageblockOrder = PageblockOrder!.Value,
            WatermarkBoostFactor = WatermarkBoostFactor!.Value,
            CpuCount = Zones[0].Pcp.Count,
            DefragMode = DefragMode < 0 ? null : DefragMode != 0,
            MigrateTypeCount = MigrateTypes!.Value,
        };
        state.Kernel = KernelOf(path);
        RecordedTypes types = new(MigrateTypes!.Value);
        (int Node, int Index) last = (-1, -1);
        foreach (RecordedZone zone in Zones)
        {
            string? fault = zone.Complete(Architecture, types, state.PageblockOrder);
            (int Node, int Index) place = (zone.State.Node, zone.Index);
            fault ??= place.CompareTo(last) <= 0 ? "zones are not in order of node and index" : null;
            fault ??= zone.Pcp.Count != state.CpuCount ? $"has {zone.Pcp.Count} CPUs, the first zone {state.CpuCount}" : null;
            if (fault is not null)
            {
                throw new InputFileException(path, zone.Line, $"zone {zone.Name}: {fault}");
            }

            last = place;
            state.Zones.Add(zone.State);
        }

        return state;
    }

    /// <summary>The kernel named; else one that has what the file has.</summary>
    private KernelPersonality KernelOf(string path)
    {
        if (Kernel is not null)
        {
            return KernelChoice.TryFor(Kernel, out KernelChoice? choice) ? choice.Line : throw new InputFileException(path, 0, $"'kernel' is \"{Kernel}\", which names no version");
        }

        bool moves = Zones[0].Pcp[0].HighBounds is not null;
        return !moves ? KernelLines.Linux6_1
            : MigrateTypes == RecordedTypes.WithCma && Architecture.Architecture == MemSim.Architecture.X86_64 ? KernelLines.Linux7_2
            : Zones[0].State.FreeBlockPages is not null ? KernelLines.Linux6_18
            : KernelLines.Linux6_12;
    }
}
