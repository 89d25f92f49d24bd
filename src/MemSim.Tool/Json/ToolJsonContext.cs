using System.Text.Json.Serialization;

namespace MemSim.Tool.Json;

/// <summary>Writes the documents without reflection.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true, UseStringEnumConverter = true)]
[JsonSerializable(typeof(BootDocument))]
[JsonSerializable(typeof(TwinDocument))]
[JsonSerializable(typeof(ReplayDocument))]
[JsonSerializable(typeof(WorkloadsDocument))]
[JsonSerializable(typeof(RunDocument))]
[JsonSerializable(typeof(StatDocument))]
[JsonSerializable(typeof(PlotDocument))]
[JsonSerializable(typeof(TopDocument))]
[JsonSerializable(typeof(ScenarioDocument))]
[JsonSerializable(typeof(ScenarioListDocument))]
internal sealed partial class ToolJsonContext : JsonSerializerContext;
