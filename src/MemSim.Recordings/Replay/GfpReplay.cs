using System.Text.Json;
using MemSim.Captures;
using MemSim.Kernels;
using MemSim.Observability;
using MemSim.Recordings.Replay;

namespace MemSim.Recordings;

/// <summary>Compares the value of every GFP flag, and what every combination of flags means, with what a kernel recorded.</summary>
/// <remarks>
/// Format: <c>gfp.jsonl.gz</c>, one JSON object a line. Where the kernel made an allocation to see what comes, one is made here too, on a small machine with the
/// same zones populated.
/// </remarks>
public static class GfpReplay
{
    private const string FileName = "gfp.jsonl.gz";

    /// <summary>The names that newer kernels print in their trace event formats.</summary>
    private const string NamesFileName = "gfp-names.jsonl";
    private const int LongestLine = 1 << 16;

    /// <summary>Pages of each zone of the machine asked: which zone answers does not depend on its size.</summary>
    private const int ZonePages = 16 << PageGeometry.MaxOrder;

    /// <summary>Whether a folder holds recorded GFP flags.</summary>
    /// <param name="directory">The folder.</param>
    public static bool IsData(string directory) => File.Exists(Path.Combine(directory, FileName));

    /// <summary>Compares the whole data set.</summary>
    /// <param name="directory">The folder.</param>
    /// <param name="kernel">Whose rules to follow; null for the kernel that <c>job.json</c> names, else 6.1.</param>
    /// <returns>What matched and what did not.</returns>
    /// <exception cref="InputFileException">The file is missing or malformed.</exception>
    public static ReplayResult Run(string directory, KernelChoice? kernel = null)
    {
        ArgumentNullException.ThrowIfNull(directory);
        string path = Path.Combine(directory, FileName);
        kernel ??= RecordedJob.KernelOf(directory) ?? KernelChoice.Of(KernelLines.Linux6_1);
        List<GfpRecord> records = JsonLines.ReadAll(path, GfpRecord.Read, LongestLine);
        ReplayTally tally = new();
        ArchitectureInfo architecture = ArchitectureInfo.X86_64;
        using Machine machine = StateRestorer.Restore(StateWith(PopulatedZones(path, records, architecture), kernel.Line));
        string names = Path.Combine(directory, NamesFileName);
        if (File.Exists(names))
        {
            records.AddRange(JsonLines.ReadAll(names, GfpRecord.Read, LongestLine));
        }

        foreach (GfpRecord record in records)
        {
            if (record.Type is "bit" or "flag" or "traceflag")
            {
                CompareValue(record, kernel.Line, tally);
            }
            else if (record.Type == "decode")
            {
                try
                {
                    CompareMeaning(record, machine, tally);
                }
                catch (KernelBugException e) when (e.Kind == KernelBugKind.IllegalFlags)
                {
                    throw new InputFileException(path, record.Line, $"no kernel serves these flags: {e.Message.Split('\n')[0].TrimEnd()}", e);
                }
            }
        }

        return tally.ToResult(Path.GetFileName(Path.GetFullPath(directory)));
    }

    private static void CompareValue(GfpRecord record, KernelPersonality kernel, ReplayTally tally)
    {
        string name = record.Name;
        uint? here = GfpValues.Of(kernel, name);
        tally.Compare("flag value", here == record.Value, () => $"line {record.Line}: {name} is 0x{record.Value:x}, here {(here is uint value ? $"0x{value:x}" : "unknown")}");
    }

    private static void CompareMeaning(GfpRecord record, Machine machine, ReplayTally tally)
    {
        Gfp gfp = (Gfp)record.Gfp;
        int type = (int)GfpZones.MigrateTypeOf(gfp);
        tally.Compare("migrate type", type == record.MigrateType, () => $"{record.Where}: migrate type {record.MigrateType}, here {type}");
        if (record.IsIllegal is bool illegal)
        {
            // Only recordings that have this also have the kernel's table; others have the zone the page came from.
            int zone = GfpZones.HighestZoneIndex(gfp, machine.Architecture);
            tally.Compare("gfp_zone", zone == record.GfpZone, () => $"{record.Where}: zone {record.GfpZone}, here {zone}");
            tally.Compare("illegal combination", GfpZones.IsIllegal(gfp) == illegal, () => $"{record.Where}: the kernel calls it {(illegal ? "contradictory" : "legal")}");
        }

        if (!record.Tried)
        {
            return;
        }

        Page page = machine.Cpus[0].AllocPages(gfp);
        string? got = page.IsNull ? null : page.Zone.Name;
        tally.Compare("zone allocated from", got == record.Zone, () => $"{record.Where}: a page of {record.Zone ?? "no zone"}, here of {got ?? "no zone"}");
        if (record.IsIllegal is null)
        {
            int index = page.IsNull ? -1 : page.Zone.Index;
            tally.Compare("zone index", index == record.GfpZone, () => $"{record.Where}: a page of zone {record.GfpZone}, here of {index}");
        }

        if (!page.IsNull)
        {
            machine.Cpus[0].FreePages(page, 0);
        }
    }

    private static List<ZoneType> PopulatedZones(string path, List<GfpRecord> records, ArchitectureInfo architecture)
    {
        List<ZoneType> zones = [];
        foreach (GfpRecord record in records.Where(r => r.Type == "zone"))
        {
            if ((uint)record.Index >= (uint)architecture.ZoneTypes.Count || architecture.ZoneTypes[record.Index].KernelName() != record.Name)
            {
                throw new InputFileException(path, record.Line, $"there is no zone {record.Index} named '{record.Name}' on {architecture.Name}");
            }

            if (record.Populated && !zones.Contains(architecture.ZoneTypes[record.Index]))
            {
                zones.Add(architecture.ZoneTypes[record.Index]);
            }
        }

        return zones.Count != 0 ? [.. zones.Order()] : throw new InputFileException(path, 0, "no zone is populated");
    }

    /// <summary>A machine with these zones one after the other, each of a few free blocks and without watermarks.</summary>
    private static AllocatorState StateWith(List<ZoneType> zones, KernelPersonality kernel)
    {
        AllocatorState state = new() { Name = "gfp", Kernel = kernel };
        for (int i = 0; i < zones.Count; i++)
        {
            long start = (long)i * ZonePages;
            ZoneState zone = new()
            {
                Type = zones[i],
                StartPfn = start,
                SpannedPages = ZonePages,
                PresentPages = ZonePages,
                ManagedPages = ZonePages,
                FreePages = ZonePages,
                FreePagesCpuDiff = [0],
                LowmemReserve = new long[ArchitectureInfo.X86_64.ZoneTypes.Count],
                FreeLists = new long[PageGeometry.OrderCount][][],
                FirstPageblock = start >> state.PageblockOrder,
                Pageblocks = new byte[ZonePages >> state.PageblockOrder],
            };
            Array.Fill(zone.Pageblocks, (byte)MigrateType.Movable);
            for (int order = 0; order < PageGeometry.OrderCount; order++)
            {
                zone.FreeLists[order] = [.. Enumerable.Repeat(Array.Empty<long>(), (int)MigrateType.Isolate + 1)];
            }

            zone.FreeLists[PageGeometry.MaxOrder][(int)MigrateType.Movable] = [.. Enumerable.Range(0, ZonePages >> PageGeometry.MaxOrder).Select(b => start + ((long)b << PageGeometry.MaxOrder))];
            zone.Pcp.Add(new PcpState { High = 4, Batch = 1 });
            state.Zones.Add(zone);
        }

        return state;
    }
}

/// <summary>One line of a recording of GFP flags.</summary>
internal sealed record GfpRecord(int Line) : JsonRecord(Line)
{
    public string Type { get; private set; } = "";

    public string Name { get; private set; } = "";

    public string Label { get; private set; } = "";

    public uint Value { get; private set; }

    public int Index { get; private set; } = -1;

    public bool Populated { get; private set; }

    public uint Gfp { get; private set; }

    public int GfpZone { get; private set; } = -1;

    public int MigrateType { get; private set; } = -1;

    /// <summary>Whether the kernel calls the combination contradictory; null where the recording does not tell.</summary>
    public bool? IsIllegal { get; private set; }

    public bool Tried { get; private set; }

    public string? Zone { get; private set; }

    /// <summary>The line and the flags, for messages.</summary>
    public string Where => $"line {Line}: {Label} {GfpText.FormatWithHex((Gfp)Gfp)}";

    /// <summary>Reads a line.</summary>
    public static GfpRecord Read(ReadOnlySpan<byte> line, string path, int number)
    {
        GfpRecord record = new(number);
        record.Fill(line, path);
        return record;
    }

    protected override string[] Required(ref JsonCursor json) => Type switch
    {
        "bit" or "flag" or "traceflag" => ["name", "value"],
        "zone" => ["idx", "name", "populated"],
        "decode" => Tried ? ["gfp", "gfp_zone", "gfp_migratetype", "tried", "zone"] : ["gfp", "gfp_zone", "gfp_migratetype", "tried"],
        _ => ["t"],
    };

    protected override void Take(ref JsonCursor json, string name)
    {
        switch (name)
        {
            case "t":
                Type = json.Text();
                break;
            case "name":
                Name = json.Text();
                break;
            case "label":
                Label = json.Text();
                break;
            case "value":
                Value = (uint)json.Number(0, uint.MaxValue);
                break;
            case "idx":
                Index = json.Int(0, int.MaxValue);
                break;
            case "populated":
                Populated = Flag(ref json, name);
                break;
            case "gfp":
                Gfp = (uint)json.Number(0, uint.MaxValue);
                break;
            case "gfp_zone":
                GfpZone = json.Int(-1, 15);
                break;
            case "gfp_migratetype":
                MigrateType = json.Int(0, 15);
                break;
            case "bad_combo":
                IsIllegal = Flag(ref json, name);
                break;
            case "tried":
                Tried = Flag(ref json, name);
                break;
            case "zone":
                Zone = json.Token == JsonTokenType.Null ? null : json.Text();
                break;
            default:
                json.Skip();
                break;
        }
    }

    private static bool Flag(ref JsonCursor json, string name) =>
        json.Token is JsonTokenType.True or JsonTokenType.False ? json.Token == JsonTokenType.True : throw json.Fault($"'{name}' is neither true nor false");
}
