using MemSim.Scenarios;
using MemSim.Tool.Plots;
using MemSim.Tool.Watching;

namespace MemSim.Tool.Json;

// The documents that --json prints. Names become snake_case; docs/tool.md lists them, and a test holds both together.

internal sealed record ZoneDocument(
    int Node,
    string Name,
    long StartPfn,
    long SpannedPages,
    long PresentPages,
    long ManagedPages,
    long FreePages,
    long Min,
    long Low,
    long High,
    IReadOnlyList<long> Protection,
    IReadOnlyList<long> FreeBlocks,
    IReadOnlyList<double> UnusableIndex);

internal sealed record SysctlDocument(string Name, string Value);

internal sealed record BootDocument(
    string Verb,
    string Architecture,
    string Kernel,
    IReadOnlyList<string> Warnings,
    int Cpus,
    int Nodes,
    IReadOnlyList<SysctlDocument> Set,
    IReadOnlyList<string> BootLog,
    IReadOnlyList<ZoneDocument> Zones,
    IReadOnlyDictionary<string, string> Views);

internal sealed record TwinRowDocument(string Step, string Figure, int? Node, string? Zone, int? Cpu, string? Captured, string Computed);

internal sealed record TwinApartDocument(string Step, string Reason, int Count, IReadOnlyList<TwinRowDocument> Rows);

internal sealed record TwinStepDocument(string Step, int Matched, int Compared, int NotComparable);

internal sealed record TwinMachineDocument(
    string Directory,
    string Kernel,
    IReadOnlyList<string> Warnings,
    int Matched,
    int Compared,
    IReadOnlyList<TwinStepDocument> Steps,
    IReadOnlyList<TwinRowDocument> Mismatches,
    IReadOnlyList<TwinApartDocument> NotComparable);

internal sealed record TwinDocument(string Verb, long Matched, long Compared, IReadOnlyList<TwinMachineDocument> Machines);

internal sealed record CountDocument(string Kind, long Matched, long Compared);

internal sealed record RecordingDocument(
    string Recording,
    string Kind,
    string Kernel,
    IReadOnlyList<string> Warnings,
    long Operations,
    double Seconds,
    double OperationsPerSecond,
    long Matched,
    long Compared,
    double AtLeastPercent,
    bool FellShort,
    IReadOnlyList<CountDocument> Counts,
    IReadOnlyList<string> Mismatches,
    string? StoppedAt,
    IReadOnlyList<ZoneDocument> Zones,
    TraceDocument? Trace);

internal sealed record ReplayDocument(string Verb, long Matched, long Compared, bool FellShort, IReadOnlyList<RecordingDocument> Recordings);

internal sealed record WorkloadsDocument(string Verb, int Matched, int Compared, bool FellShort, IReadOnlyList<WorkloadDocument> Recordings);

internal sealed record WorkloadDocument(string Name, int Matched, int Compared, IReadOnlyList<WorkloadFigureDocument> Figures);

internal sealed record WorkloadFigureDocument(string Name, long? Recorded, long Simulated, double? Ratio);

internal sealed record TraceDocument(
    string Kernel,
    IReadOnlyList<string> Warnings,
    long Displaced,
    long FreedPastLists,
    long GivenBackUnseen,
    IReadOnlyList<string> UnknownFlags,
    string? NotPredictable,
    long TellingStart,
    long PredictedUntold,
    long Events,
    long LostEvents,
    long EventsWithoutCpu,
    long FailedAllocations,
    long UntracedPages,
    IReadOnlyList<TraceCpuDocument> Cpus,
    IReadOnlyList<TraceMissDocument> Misses,
    IReadOnlyList<TraceEventDocument> EventCounts,
    TraceWakeupsDocument KswapdWakeups,
    IReadOnlyList<TracePageDocument> Pages,
    TraceSlabDocument Slab);

internal sealed record TraceCpuDocument(int Cpu, long Allocations, long Predicted);

internal sealed record TraceMissDocument(string Reason, long Count);

internal sealed record TraceEventDocument(string Name, long Recorded, long? Replayed);

internal sealed record TraceWakeupsDocument(long Recorded, long? Replayed);

internal sealed record TracePageDocument(int Order, string? MigrateType, long Allocated, long Freed, long Failed);

internal sealed record TraceSlabDocument(long KmallocObjects, long CacheObjects, long Frees, long BytesRequested, long BytesAllocated, double InternalFragmentation, TraceSlabReplayDocument? Replay);

internal sealed record TraceSlabReplayDocument(
    long Matched,
    long Compared,
    long Freed,
    long FreedWithoutEvent,
    long FreesOfUnknown,
    long FailedAllocations,
    long LiveObjects,
    long SlabPages,
    long PeakSlabPages,
    IReadOnlyList<TraceSlabCacheDocument> Caches);

internal sealed record TraceSlabCacheDocument(
    string Cache, bool PropertiesKnown, int SlotBytes, long Allocated, long Freed, long FreesOfUnknown, long BytesRequested, long BytesAllocated, long Live, long Slabs);

internal sealed record RunDocument(
    string Verb,
    bool Quick,
    string Machine,
    string Kernel,
    IReadOnlyList<string> Warnings,
    IReadOnlyList<string> BootLog,
    string Workload,
    IReadOnlyList<ZoneDocument> Before,
    IReadOnlyList<ZoneDocument> After,
    IReadOnlyList<RecordingDocument> Parts,
    long Matched,
    long Compared,
    bool FellShort,
    double Seconds,
    string? Picture);

internal sealed record StatDocument(string Verb, string Name, long Events, long LostEvents, IReadOnlyCollection<string> UnknownFlags, StatPagesDocument Pages, StatSlabDocument Slab);

internal sealed record StatPagesDocument(
    long AllocatedBlocks, long AllocatedPages, long FreedBlocks, long FreedPages, long AllocatedAndFreedBlocks, long FailedRequests, IReadOnlyList<TracePageDocument> ByOrder, IReadOnlyList<StatGfpDocument> ByGfp);

internal sealed record StatGfpDocument(string Gfp, long Blocks, long Pages);

internal sealed record StatSlabDocument(
    long KmallocObjects,
    long CacheObjects,
    long Frees,
    long FreesOfUnknown,
    long FreedElsewhere,
    long BytesRequested,
    long BytesAllocated,
    long BytesFreed,
    double InternalFragmentation,
    IReadOnlyList<StatRowDocument> ByCaller,
    IReadOnlyList<StatRowDocument> ByCache);

internal sealed record StatRowDocument(string Name, long Objects, long Live, long BytesRequested, long BytesAllocated, double InternalFragmentation, long FreedElsewhere);

/// <summary>A run, moment by moment.</summary>
internal sealed record TopDocument(string Verb, string What, string Kernel, IReadOnlyList<TopFrame> Frames);

/// <summary>What was drawn, in figures.</summary>
internal sealed record PlotDocument(string Verb, string What, string Kernel, IReadOnlyList<string> Warnings, string Summary, string? Picture, Plot Plot);

internal sealed record ScenarioNameDocument(string Name, string Description);

internal sealed record ScenarioListDocument(string Verb, IReadOnlyList<ScenarioNameDocument> Scenarios);

internal sealed record ScenarioDocument(string Verb, string Scenario, string Description, string Kernel, IReadOnlyList<string> Warnings, ScenarioReport Report);
