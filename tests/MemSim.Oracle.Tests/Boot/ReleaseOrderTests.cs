using System.Globalization;
using System.IO.Compression;
using FluentAssertions;
using MemSim.Boot;
using Xunit;

namespace MemSim.Oracle.Tests.Boot;

/// <summary>The order in which frames are released against free lists recorded soon after the boot.</summary>
public class ReleaseOrderTests
{
    private static readonly Lazy<Dictionary<string, List<(string Kind, int Node, ZoneType Type, string[] Text)>>> Lists = new(Read);

    // With several CPUs, threads race for the frames that are initialised late.
    public static TheoryData<string> SingleCpuTraces => [.. RecordedBoot.All.Where(boot => boot.Cpus == 1 && Lists.Value.ContainsKey(boot.Name)).Select(boot => boot.Name)];

    public static TheoryData<string> HighMemoryTraces => [.. RecordedBoot.All.Where(boot => boot.Label == "i386" && Lists.Value.ContainsKey(boot.Name)).Select(boot => boot.Name)];

    [Theory]
    [MemberData(nameof(SingleCpuTraces))]
    [MemberData(nameof(HighMemoryTraces))]
    public void Free_list_of_largest_blocks_is_what_is_left_of_the_planned_one(string name)
    {
        BootPlan plan = BootPlanner.Plan(RecordedBoot.Named(name).FromFirmware());
        foreach ((_, int node, ZoneType type, string[] rest) in Lists.Value[name].Where(list => list.Kind == "free10"))
        {
            List<long> recorded = [.. rest[0].Split(' ').Select(Long)];
            List<long> planned = PlannedLargestBlocks(plan, node, type);
            HashSet<long> present = [.. recorded];
            planned.Where(present.Contains).Should().Equal(recorded, "zone {0}", type);
        }
    }

    [Theory]
    [InlineData("traces/amd64-1G-smp1-fork")]
    [InlineData("traces/amd64-1G-smp1-sort")]
    [InlineData("traces/amd64-2G-movablecore512M-mixed")]
    public void Page_blocks_initialised_late_start_as_unmovable_where_their_first_frame_is_reserved(string name)
    {
        BootPlan plan = BootPlanner.Plan(RecordedBoot.Named(name).FromFirmware());
        foreach ((_, int node, ZoneType type, string[] rest) in Lists.Value[name].Where(list => list.Kind == "blocks"))
        {
            BootZone zone = plan.Zones.Single(zone => zone.Node == node && zone.Type == type);
            long deferred = plan.Nodes[node].FirstDeferred!.Value.Value >> 9;
            long first = Long(rest[0]) >> 9;
            List<long> recorded = [.. Enumerable.Range(0, rest[1].Length).Where(i => rest[1][i] == '0').Select(i => first + i).Where(block => block >= deferred)];
            List<long> planned = [.. plan.UnmovablePageblocks.Where(range => range.Zone == zone).SelectMany(range => Range(range.First, range.Count)).Where(block => block >= deferred)];
            planned.Should().Equal(recorded, "zone {0}", type);
            rest[1][0].Should().Be(plan.UnmovablePageblocks.Any(range => range.Zone == zone && range.First == first) ? '0' : '1');
        }
    }

    private static IEnumerable<long> Range(long first, long count)
    {
        for (long i = 0; i < count; i++)
        {
            yield return first + i;
        }
    }

    private static List<long> PlannedLargestBlocks(BootPlan plan, int node, ZoneType type)
    {
        List<long> list = [];
        foreach ((ReleaseRange range, Pfn start, int order) in plan.EnumerateBlocks())
        {
            if (order == PageGeometry.MaxOrder && range.Zone.Node == node && range.Zone.Type == type)
            {
                list.Insert(range.ToTail ? list.Count : 0, start.Value);
            }
        }

        return list;
    }

    private static Dictionary<string, List<(string Kind, int Node, ZoneType Type, string[] Text)>> Read()
    {
        Dictionary<string, List<(string, int, ZoneType, string[])>> all = [];
        using StreamReader reader = new(new GZipStream(File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Data", "boot", "lists.txt.gz")), CompressionMode.Decompress));
        string name = "";
        while (reader.ReadLine() is { } line)
        {
            if (line.StartsWith("# ", StringComparison.Ordinal))
            {
                all[name = line[2..]] = [];
                continue;
            }

            string[] fields = line.Split('\t');
            ZoneTypeNames.TryParse(fields[2], out ZoneType type).Should().BeTrue();
            all[name].Add((fields[0], (int)Long(fields[1]), type, fields[3..]));
        }

        return all;
    }

    private static long Long(string text) => long.Parse(text, CultureInfo.InvariantCulture);
}
