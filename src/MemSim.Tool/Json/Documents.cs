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
    int Matched,
    int Compared,
    IReadOnlyList<TwinStepDocument> Steps,
    IReadOnlyList<TwinRowDocument> Mismatches,
    IReadOnlyList<TwinApartDocument> NotComparable);

internal sealed record TwinDocument(string Verb, long Matched, long Compared, IReadOnlyList<TwinMachineDocument> Machines);

internal sealed record CountDocument(string Kind, long Matched, long Compared);

internal sealed record ReplayDocument(
    string Verb,
    string Recording,
    string Kind,
    long Operations,
    double Seconds,
    long Matched,
    long Compared,
    double AtLeastPercent,
    bool FellShort,
    IReadOnlyList<CountDocument> Counts,
    IReadOnlyList<string> Mismatches,
    string? StoppedAt,
    IReadOnlyList<ZoneDocument> Zones,
    IReadOnlyDictionary<string, string> Statistics);

internal sealed record RunPartDocument(
    string Recording,
    string Kind,
    long Operations,
    double Seconds,
    double OperationsPerSecond,
    long Matched,
    long Compared,
    double AtLeastPercent,
    bool FellShort,
    IReadOnlyList<CountDocument> Counts);

internal sealed record RunDocument(
    string Verb,
    bool Quick,
    string Machine,
    IReadOnlyList<string> BootLog,
    string Workload,
    IReadOnlyList<ZoneDocument> Before,
    IReadOnlyList<ZoneDocument> After,
    IReadOnlyList<RunPartDocument> Parts,
    IReadOnlyList<string> Mismatches,
    long Matched,
    long Compared,
    double Seconds,
    string? Picture);
