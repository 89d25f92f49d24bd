using System.Text.Json.Serialization;

namespace MemSim.Observability;

/// <summary>A snapshot as plain data, for memory and for files. Besides the allocator's lists it holds what they do not say: live blocks, topology, counters, settings.</summary>
internal sealed class SnapshotDocument
{
    public const string FormatName = "memsim-snapshot";
    public const int CurrentVersion = 2;

    public string Format { get; set; } = FormatName;

    /// <summary>1: the document is all there is. 2: behind it in the file is the machine itself.</summary>
    public int Version { get; set; } = 1;

    public string Personality { get; set; } = "6.1";

    public List<string> Warnings { get; set; } = [];

    public MemoryModel MemoryModel { get; set; }

    public bool MobilityGrouping { get; set; } = true;

    public bool RefusesIllegalFlags { get; set; } = true;

    public bool HasContents { get; set; }

    public long FrameCount { get; set; }

    public TransparentHugePages HugePages { get; set; }

    public List<SnapshotNode> Nodes { get; set; } = [];

    public List<SnapshotCpu> Cpus { get; set; } = [];

    /// <summary>Start, end and node of each range of present frames, with its zone's kernel type.</summary>
    public List<SnapshotRange> Present { get; set; } = [];

    /// <summary>Start, end and node of each range of memory that is offline.</summary>
    public List<SnapshotOffline> Offline { get; set; } = [];

    /// <summary>Start and end of each reserved range.</summary>
    public List<long[]> Reserved { get; set; } = [];

    /// <summary>Frames that carry state without being free: the frame number, then the words of <c>PageFrame</c> that are not links.</summary>
    public List<long[]> Frames { get; set; } = [];

    public List<SnapshotZone> Zones { get; set; } = [];

    /// <summary>Name and text of each setting below <c>/proc/sys/vm</c>.</summary>
    public Dictionary<string, string> Sysctls { get; set; } = [];

    /// <summary>The events that <c>/proc/vmstat</c> counts, by name; those that never happened are left out.</summary>
    public Dictionary<string, long> Events { get; set; } = [];

    /// <summary>What the machine had besides that the document does not hold.</summary>
    public List<string> NotCarried { get; set; } = [];

    public AllocatorState State { get; set; } = new();
}

internal sealed record SnapshotNode(int Id, int[] Distances, int[] FallbackOrder, long KswapdWakeups);

internal sealed record SnapshotCpu(int Node, bool Online);

internal sealed record SnapshotOffline(long Start, long End, int Node);

internal sealed record SnapshotRange(long Start, long End, int Node, ZoneType Type);

/// <summary>Counters of a zone that the allocator's lists do not hold; the last array has one row a CPU.</summary>
internal sealed record SnapshotZone(int Node, ZoneType Type, long CmaPages, bool HasCma, long Untracked, long[][] CpuCounters);

[JsonSourceGenerationOptions(IncludeFields = true, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true, PreferredObjectCreationHandling = JsonObjectCreationHandling.Populate, PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(SnapshotDocument))]
internal sealed partial class SnapshotJson : JsonSerializerContext;
