using System.Text.Json;
using MemSim.Captures;
using MemSim.Observability;
using MemSim.Recordings.Replay;

namespace MemSim.Recordings;

/// <summary>Compares the value of every GFP flag, and what every combination of flags means, with what a 6.1 kernel recorded.</summary>
/// <remarks>
/// Format: <c>gfp.jsonl.gz</c>, one JSON object a line. Where the kernel made an allocation to see what comes, one is made here too, on a small machine with the
/// same zones populated.
/// </remarks>
public static class GfpReplay
{
    private const string FileName = "gfp.jsonl.gz";
    private const int LongestLine = 1 << 16;

    /// <summary>Pages of each zone of the machine asked: which zone answers does not depend on its size.</summary>
    private const int ZonePages = 16 << PageGeometry.MaxOrder;

    /// <summary>Whether a folder holds recorded GFP flags.</summary>
    /// <param name="directory">The folder.</param>
    public static bool IsData(string directory) => File.Exists(Path.Combine(directory, FileName));

    /// <summary>Compares the whole data set.</summary>
    /// <param name="directory">The folder.</param>
    /// <returns>What matched and what did not.</returns>
    /// <exception cref="InputFileException">The file is missing or malformed.</exception>
    public static ReplayResult Run(string directory)
    {
        ArgumentNullException.ThrowIfNull(directory);
        string path = Path.Combine(directory, FileName);
        List<GfpRecord> records = JsonLines.ReadAll(path, GfpRecord.Read, LongestLine);
        ReplayTally tally = new();
        ArchitectureInfo architecture = ArchitectureInfo.X86_64;
        using Machine machine = StateRestorer.Restore(StateWith(PopulatedZones(path, records, architecture)));
        foreach (GfpRecord record in records)
        {
            if (record.Type is "bit" or "flag")
            {
                CompareValue(record, tally);
            }
            else if (record.Type == "decode")
            {
                CompareMeaning(record, machine, tally);
            }
        }

        return tally.ToResult(Path.GetFileName(Path.GetFullPath(directory)));
    }

    private static void CompareValue(GfpRecord record, ReplayTally tally)
    {
        string name = record.Name;
        (bool equal, string here) = name switch
        {
            // Bits of features that Debian's kernel is built without.
            "___GFP_SKIP_ZERO" or "___GFP_SKIP_KASAN_UNPOISON" or "___GFP_SKIP_KASAN_POISON" or "___GFP_NOLOCKDEP" => (record.Value == 0, "0"),
            "__GFP_BITS_SHIFT" => (record.Value < 32 && (1u << (int)record.Value) - 1 == (uint)Gfp.BitsMask, $"mask 0x{(uint)Gfp.BitsMask:x}"),
            "__GFP_BITS_MASK" => (record.Value == (uint)Gfp.BitsMask, $"0x{(uint)Gfp.BitsMask:x}"),
            // The third underscore only tells the bit's number from the flag of type gfp_t.
            _ => GfpText.TryParse(name.StartsWith("___", StringComparison.Ordinal) ? name[1..] : name, out Gfp value) ? (record.Value == (uint)value, $"0x{(uint)value:x}") : (false, "unknown"),
        };
        tally.Compare("flag value", equal, () => $"line {record.Line}: {name} is 0x{record.Value:x}, here {here}");
    }

    private static void CompareMeaning(GfpRecord record, Machine machine, ReplayTally tally)
    {
        Gfp gfp = (Gfp)record.Gfp;
        int zone = GfpZones.HighestZoneIndex(gfp, machine.Architecture);
        tally.Compare("gfp_zone", zone == record.GfpZone, () => $"{record.Where}: zone {record.GfpZone}, here {zone}");
        int type = (int)GfpZones.MigrateTypeOf(gfp);
        tally.Compare("migrate type", type == record.MigrateType, () => $"{record.Where}: migrate type {record.MigrateType}, here {type}");
        bool illegal = GfpZones.IsIllegal(gfp);
        tally.Compare("illegal combination", illegal == record.IsIllegal, () => $"{record.Where}: the kernel calls it {(record.IsIllegal ? "contradictory" : "legal")}");
        if (!record.Tried)
        {
            return;
        }

        Page page = machine.Cpus[0].AllocPages(gfp);
        string? got = page.IsNull ? null : page.Zone.Name;
        tally.Compare("zone allocated from", got == record.Zone, () => $"{record.Where}: a page of {record.Zone ?? "no zone"}, here of {got ?? "no zone"}");
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
    private static AllocatorState StateWith(List<ZoneType> zones)
    {
        AllocatorState state = new() { Name = "gfp" };
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

    public bool IsIllegal { get; private set; }

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
        "bit" or "flag" => ["name", "value"],
        "zone" => ["idx", "name", "populated"],
        "decode" => Tried ? ["gfp", "gfp_zone", "gfp_migratetype", "bad_combo", "tried", "zone"] : ["gfp", "gfp_zone", "gfp_migratetype", "bad_combo", "tried"],
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
                GfpZone = json.Int(0, 15);
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
