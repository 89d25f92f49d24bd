using System.IO.Compression;
using System.Text.Json;
using FluentAssertions;
using Xunit;

namespace MemSim.Oracle.Tests.PageAllocation;

public class GfpDecodingTests
{
    public static TheoryData<string> Recordings => ["512M-gfp", "1G-movable-gfp"];

    [Theory]
    [MemberData(nameof(Recordings))]
    public void Every_flag_has_the_value_the_kernel_printed(string recording)
    {
        int checkedFlags = 0;
        foreach (JsonElement record in Records(recording).Where(r => Text(r, "t") is "bit" or "flag"))
        {
            string name = Text(record, "name");
            uint value = record.GetProperty("value").GetUInt32();
            switch (name)
            {
                case "___GFP_SKIP_ZERO" or "___GFP_SKIP_KASAN_UNPOISON" or "___GFP_SKIP_KASAN_POISON" or "___GFP_NOLOCKDEP":
                    value.Should().Be(0, "{0} is not configured", name);
                    break;
                case "__GFP_BITS_SHIFT":
                    ((uint)Gfp.BitsMask).Should().Be((1u << (int)value) - 1);
                    break;
                case "__GFP_BITS_MASK":
                    ((uint)Gfp.BitsMask).Should().Be(value);
                    break;
                default:
                    string source = name.StartsWith("___", StringComparison.Ordinal) ? name[1..] : name;
                    ((uint)GfpText.Parse(source)).Should().Be(value, name);
                    break;
            }

            checkedFlags++;
        }

        checkedFlags.Should().BeGreaterThan(40);
    }

    [Theory]
    [MemberData(nameof(Recordings))]
    public void Every_combination_of_modifiers_decodes_as_in_the_kernel(string recording)
    {
        ArchitectureInfo architecture = ArchitectureInfo.X86_64;
        HashSet<string> populated = [.. Records(recording).Where(r => Text(r, "t") == "zone" && r.GetProperty("populated").GetBoolean()).Select(r => Text(r, "name"))];
        int decoded = 0;
        int tried = 0;
        foreach (JsonElement record in Records(recording).Where(r => Text(r, "t") == "decode"))
        {
            Gfp gfp = (Gfp)record.GetProperty("gfp").GetUInt32();
            string because = GfpText.FormatWithHex(gfp);
            int zone = record.GetProperty("gfp_zone").GetInt32();
            GfpZones.HighestZoneIndex(gfp, architecture).Should().Be(zone, because);
            GfpZones.HighestZone(gfp, architecture).Should().Be(architecture.ZoneTypes[zone], because);
            ((int)GfpZones.ZoneIndexTable(architecture)[(int)gfp & 15]).Should().Be(zone, because);
            GfpZones.IsIllegal(gfp).Should().Be(record.GetProperty("bad_combo").GetBoolean(), because);
            ((int)GfpZones.MigrateTypeOf(gfp)).Should().Be(record.GetProperty("gfp_migratetype").GetInt32(), because);
            decoded++;
            if (record.GetProperty("tried").GetBoolean() && record.GetProperty("zone").GetString() is string taken)
            {
                // On an empty machine a request is served by the highest populated zone at or below the one decoded.
                int expected = Enumerable.Range(0, zone + 1).Last(i => populated.Contains(architecture.ZoneTypes[i].KernelName()));
                architecture.ZoneTypes[expected].KernelName().Should().Be(taken, because);
                tried++;
            }
        }

        decoded.Should().BeGreaterThan(150);
        tried.Should().BeGreaterThan(100);
    }

    [Fact]
    public void Every_flag_list_of_the_traces_round_trips()
    {
        string[] lists = File.ReadAllLines(Path.Combine(AppContext.BaseDirectory, "Data", "gfp", "trace-gfp-flags.txt"));
        lists.Should().HaveCountGreaterThan(50);
        foreach (string list in lists)
        {
            Gfp gfp = GfpText.Parse(list);
            GfpText.Format(gfp).Should().Be(list);
            GfpText.Parse(GfpText.FormatWithHex(gfp)).Should().Be(gfp);
            (gfp & ~Gfp.BitsMask).Should().Be(Gfp.None);
        }
    }

    private static string Text(JsonElement record, string field) => record.GetProperty(field).GetString()!;

    private static List<JsonElement> Records(string recording)
    {
        using FileStream file = File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Data", "gfp", recording + ".jsonl.gz"));
        using StreamReader text = new(new GZipStream(file, CompressionMode.Decompress));
        List<JsonElement> records = [];
        while (text.ReadLine() is string line)
        {
            records.Add(JsonDocument.Parse(line).RootElement);
        }

        return records;
    }
}
