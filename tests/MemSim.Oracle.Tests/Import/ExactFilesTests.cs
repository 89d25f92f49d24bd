using System.Globalization;
using System.Text.Json;
using FluentAssertions;
using MemSim.Observability;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Oracle.Tests.Import;

public class ExactFilesTests
{
    public static TheoryData<string> States =>
    [
        "128M-b-order0to4/state-pre.json.gz",
        "128M-b-order0to4/state-post.json.gz",
        "128M-b-order0to4/state-end.json.gz",
        "128M-b-order0to4/state-drained.json.gz",
        "1G-movable-b.state-post.json.gz",
    ];

    [Theory]
    [MemberData(nameof(States))]
    public void A_state_written_again_has_every_field_of_the_recording(string file)
    {
        string path = ImportData.PathOf(file);
        AllocatorState state = ExactStateReader.Read(path);
        using MemoryStream written = new();
        ExactStateWriter.Write(state, written);

        using JsonDocument recorded = JsonDocument.Parse(string.Concat(ImportData.Lines(path)));
        using JsonDocument again = JsonDocument.Parse(written.ToArray());
        FirstDifference(recorded.RootElement, again.RootElement, "").Should().BeNull();
        ExactStateReader.Parse(written.ToArray(), "again").Should().BeEquivalentTo(state, options => options.WithStrictOrdering());
    }

    [Theory]
    [MemberData(nameof(States))]
    public void The_counters_of_a_state_agree_with_its_lists(string file)
    {
        AllocatorState state = ExactStateReader.Read(ImportData.PathOf(file));
        state.Name.Should().Contain("/");
        foreach (ZoneState zone in state.Zones)
        {
            long free = 0;
            for (int order = 0; order < zone.FreeLists.Length; order++)
            {
                free += zone.FreeLists[order].Sum(list => (long)list.Length) << order;
            }

            (zone.FreePages + zone.FreePagesCpuDiff.Sum()).Should().Be(free, zone.Type.ToString());
        }
    }

    [Fact]
    public void Every_operation_reads_as_its_line_says()
    {
        string path = ImportData.PathOf("128M-b-order0to4", "ops.txt.gz");
        string[] lines = ImportData.Lines(path);
        using ExactOperationsReader reader = new(path);
        string counters = "";
        HashSet<ExactOperationKind> kinds = [];
        foreach (string line in lines)
        {
            reader.TryRead(out ExactOperation operation).Should().BeTrue();
            kinds.Add(operation.Kind);
            if (operation.HasCounters)
            {
                string field = line[(line.LastIndexOf(' ') + 1)..];
                counters = field == "=" ? counters : field;
            }

            if (Format(operation, counters, line.EndsWith('=')) != line)
            {
                Format(operation, counters, line.EndsWith('=')).Should().Be(line);
            }
        }

        reader.TryRead(out _).Should().BeFalse();
        kinds.Should().HaveCount(Enum.GetValues<ExactOperationKind>().Length);
    }

    [Fact]
    public void Operations_are_read_without_allocating_for_each()
    {
        string path = ImportData.PathOf("128M-b-order0to4", "ops.txt.gz");
        using ExactOperationsReader reader = new(path);
        reader.TryRead(out _).Should().BeTrue();
        long before = GC.GetAllocatedBytesForCurrentThread();
        int read = 0;
        while (reader.TryRead(out _))
        {
            read++;
        }

        read.Should().BeGreaterThan(10_000);
        (GC.GetAllocatedBytesForCurrentThread() - before).Should().BeLessThan(read);
    }

    private static string Format(in ExactOperation operation, string counters, bool same)
    {
        ExactCounters values = operation.Counters;
        string told = string.Create(CultureInfo.InvariantCulture, $"{values.Zone0},{values.Zone1},{values.Zone2},{values.Zone3}");
        string tail = same && told == counters ? "=" : told;
        int type = operation.MigrateType == (int)MigrateType.Isolate ? 4 : operation.MigrateType;
        string who = operation.Caller switch { ExactCaller.MemAlloc => "m", ExactCaller.OomVictim => "o", _ => "-" };
        string pfn = operation.Pfn < 0 ? "-" : operation.Pfn.ToString(CultureInfo.InvariantCulture);
        return operation.Kind switch
        {
            ExactOperationKind.Allocate => $"A {operation.Order} {(uint)operation.Gfp:x} {who} {pfn} {operation.Zone} {type} {tail}",
            ExactOperationKind.Free => $"F {operation.Order} {pfn} {operation.Zone} {type} {tail}",
            ExactOperationKind.BulkAllocate => $"B {operation.Count} {(uint)operation.Gfp:x} {operation.Got} {tail}",
            ExactOperationKind.BulkPage => $"b {pfn} {operation.Zone} {type}",
            ExactOperationKind.FreeList => $"L {operation.Count}",
            ExactOperationKind.ListPage => $"l {pfn} {operation.Zone} {type}",
            ExactOperationKind.Split => $"S {operation.Order} {pfn}",
            ExactOperationKind.Drain => $"D {operation.Zone} {tail}",
            ExactOperationKind.DrainBatch => $"Z {operation.Zone} {tail}",
            _ => $"M {operation.Count} {tail}",
        };
    }

    private static string? FirstDifference(JsonElement recorded, JsonElement written, string at)
    {
        switch (recorded.ValueKind)
        {
            case JsonValueKind.Object:
                foreach (JsonProperty property in recorded.EnumerateObject())
                {
                    string? difference = written.TryGetProperty(property.Name, out JsonElement value) ? FirstDifference(property.Value, value, $"{at}.{property.Name}") : $"{at}.{property.Name} is lost";
                    if (difference is not null)
                    {
                        return difference;
                    }
                }

                return null;
            case JsonValueKind.Array when recorded.GetArrayLength() == written.GetArrayLength():
                for (int i = 0; i < recorded.GetArrayLength(); i++)
                {
                    if (FirstDifference(recorded[i], written[i], $"{at}[{i}]") is string difference)
                    {
                        return difference;
                    }
                }

                return null;
            default:
                return recorded.GetRawText() == written.GetRawText() ? null : $"{at} was {recorded.GetRawText()}, is {written.GetRawText()}";
        }
    }
}
