using System.Text.Json.Serialization;

namespace MemSim.Tool.Explaining;

// The document that `memsim explain --json` prints; names become camelCase, as its contract says.

internal sealed record ExplainDocument(IReadOnlyList<ExplainedReportDocument> Reports, IReadOnlyList<long> UnknownLines, long MoreUnknownLines);

internal sealed record ExplainedReportDocument(
    string File,
    string Kind,
    string? Kernel,
    int? PageSizeKiB,
    int? Order,
    IReadOnlyList<string>? Gfp,
    string Verdict,
    IReadOnlyList<ExplainedZoneDocument> Zones,
    IReadOnlyList<SavingDocument> SavedBy,
    long Line,
    long LastLine,
    string? Task,
    string Rules,
    IReadOnlyList<string> Why,
    IReadOnlyList<OtherAnswerDocument> OtherKernels,
    IReadOnlyList<ConsumerDocument> Consumers,
    IReadOnlyList<string> Notes,
    long SuppressedFailures,
    VictimDocument? Victim,
    CgroupDocument? Cgroup,
    IReadOnlyList<long> UnknownLines,
    bool? OnMachine,
    string? NotRebuilt);

internal sealed record ExplainedZoneDocument(
    int Node,
    string Name,
    bool? Eligible,
    long? FreePages,
    long? UnusablePages,
    long? LimitPages,
    long? MissingPages,
    int? LargestUsableOrder,
    bool? Passes,
    string? Reason,
    long? MinPages,
    long BoostPages,
    long? ReservePages,
    long HighAtomicPages,
    bool HighAtomicIsLeast,
    long CmaPages,
    long? UsableBlocks,
    bool? PassesHigh,
    IReadOnlyList<string> Arithmetic);

internal sealed record SavingDocument(string Knob, string Value, bool? Works, string Text, bool? OnMachine);

internal sealed record OtherAnswerDocument(string Since, string Verdict, string Rule);

internal sealed record ConsumerDocument(string Name, [property: JsonPropertyName("sizeKiB")] long KiB, string Text);

internal sealed record VictimDocument(string Name, long? Pid, long? AnonKiB, long? ScoreAdj);

internal sealed record CgroupDocument(string? Path, string? TaskPath, long? UsageKiB, long? LimitKiB);

/// <summary>Writes the document without reflection.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(ExplainDocument))]
[JsonSerializable(typeof(ExplainedReportDocument))]
internal sealed partial class ExplainJsonContext : JsonSerializerContext;
