using FluentAssertions;
using MemSim.Captures;
using MemSim.Oracle.Tests.Figures;
using Xunit;

namespace MemSim.Oracle.Tests.Observability.Proc;

/// <summary>The views of twins of captured machines of every architecture: every computed figure must stand where the kernel printed it.</summary>
public sealed class TwinViewsTests(CaptureArchive captures, RecordedViews recorded) : IClassFixture<CaptureArchive>, IClassFixture<RecordedViews>
{
    public static TheoryData<string> Machines => [.. CaptureArchive.Names()];

    [Theory]
    [MemberData(nameof(Machines))]
    public void Zoneinfo_of_a_twin_is_byte_for_byte_that_of_the_machine_once_free_pages_and_counters_are_set(string name)
    {
        string path = Path.Combine(captures.Folder(name), "zoneinfo");
        using Machine machine = Twin(name);
        string expected = File.ReadAllText(path);
        RecordedCounters.FeedZoneInfo(machine, expected);
        RecordedCounters.FeedMovingFigures(machine, ZoneInfoFile.Read(path));

        machine.Proc.ZoneInfo.ShouldBeExactly(expected);
    }

    [Theory]
    [MemberData(nameof(Machines))]
    public void Meminfo_of_a_twin_follows_from_its_counters(string name)
    {
        using Machine machine = Twin(name);
        string expected = recorded.Read("captures", Path.Combine(name, "meminfo"));
        string zoneInfo = Path.Combine(captures.Folder(name), "zoneinfo");
        RecordedCounters.FeedZoneInfo(machine, File.ReadAllText(zoneInfo));
        RecordedCounters.FeedMovingFigures(machine, ZoneInfoFile.Read(zoneInfo));
        RecordedCounters.FeedMemInfo(machine, expected);

        if (name == "amd64k73-4G-numa2")
        {
            // A page was allocated between the reading of zoneinfo and that of meminfo.
            expected = expected.Replace("MemFree:         3942932 kB", "MemFree:         3942928 kB", StringComparison.Ordinal).Replace("MemAvailable:    3796528 kB", "MemAvailable:    3796524 kB", StringComparison.Ordinal);
        }

        machine.Proc.MemInfo.ShouldBeExactly(expected);
    }

    /// <summary>Rows of vmstat that do not follow from zoneinfo: a page moved between the readings, or, of descriptors, zoneinfo does not tell where in zone DMA32 the hole below 4 GiB lies.</summary>
    private static readonly HashSet<string> MovedMeanwhile =
    [
        "amd64-4G-numa4-uneven numa_hit", "amd64-4G-numa4-uneven numa_local", "arm64-1G-smp2 numa_hit", "arm64-1G-smp2 numa_local",
        "amd64k612-4G-smp4 nr_free_pages", "amd64k612-4G-smp4 nr_dirty_threshold", "amd64k612-4G-smp4 nr_dirty_background_threshold",
        "amd64k73-4G-numa2 nr_free_pages", "amd64k73-4G-numa2 nr_dirty_threshold",
        "amd64k612-4G-smp4 nr_memmap_boot_pages", "amd64k618-4G-smp4 nr_memmap_boot_pages", "amd64k70-4G-smp4 nr_memmap_boot_pages",
    ];

    [Theory]
    [MemberData(nameof(Machines))]
    public void Vmstat_of_a_twin_follows_from_its_counters(string name)
    {
        using Machine machine = Twin(name);
        string expected = recorded.Read("captures", Path.Combine(name, "vmstat"));
        string zoneInfo = Path.Combine(captures.Folder(name), "zoneinfo");
        RecordedCounters.FeedZoneInfo(machine, File.ReadAllText(zoneInfo));
        RecordedCounters.FeedMovingFigures(machine, ZoneInfoFile.Read(zoneInfo));
        RecordedCounters.FeedVmStat(machine, expected);

        string[] actual = machine.Proc.VmStat.Split('\n');
        string[] lines = expected.Split('\n');
        actual.Select(l => l.Split(' ')[0]).Should().Equal(lines.Select(l => l.Split(' ')[0]));
        for (int i = 0; i < lines.Length; i++)
        {
            if (!lines[i].StartsWith("pgalloc_", StringComparison.Ordinal) && !lines[i].StartsWith("pgfree ", StringComparison.Ordinal) && !MovedMeanwhile.Contains($"{name} {lines[i].Split(' ')[0]}"))
            {
                actual[i].Should().Be(lines[i]);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Machines))]
    public void Pagetypeinfo_of_a_twin_has_the_lines_and_columns_of_the_machine(string name)
    {
        using Machine machine = Twin(name);
        string[] expected = recorded.Read("captures", Path.Combine(name, "pagetypeinfo")).Split('\n');
        string[] actual = machine.Proc.PageTypeInfo.Split('\n');

        actual.Should().HaveSameCount(expected);
        for (int i = 0; i < actual.Length; i++)
        {
            actual[i].Should().HaveLength(expected[i].Length);
            string label = actual[i].Split("type")[0].TrimEnd('0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ' ');
            expected[i].Should().StartWith(label);
        }
    }

    [Theory]
    [MemberData(nameof(MachinesWithNodeFiles))]
    public void Files_of_a_node_have_the_lines_and_columns_of_the_machine(string name)
    {
        using Machine machine = Twin(name);
        foreach (Node node in machine.Nodes)
        {
            string prefix = Path.Combine(name, "node", $"node{node.Id}-");
            machine.Proc.NodeMemInfo(node.Id).Split('\n').Select(WithoutFigure).Should().Equal(recorded.Read("captures", prefix + "meminfo").Split('\n').Select(WithoutFigure));
            machine.Proc.NodeVmStat(node.Id).Split('\n').Select(WithoutFigure).Should().Equal(recorded.Read("captures", prefix + "vmstat").Split('\n').Select(WithoutFigure));
            machine.Proc.NodeNumaStat(node.Id).Split('\n').Select(WithoutFigure).Should().Equal(recorded.Read("captures", prefix + "numastat").Split('\n').Select(WithoutFigure));
        }

        // A figure is written to the right: with the blanks before it, it has its place.
        static string WithoutFigure(string line) => System.Text.RegularExpressions.Regex.Replace(line, "(?<=:) *[0-9]+", m => new string('#', m.Length)) is var text && text == line
            ? line.Split(' ')[0]
            : text;
    }

    public static TheoryData<string> MachinesWithNodeFiles => [.. CaptureArchive.Names().Where(RecordedViews.HasNodeFiles)];

    private Machine Twin(string name) => Machine.Boot(MachineSpec.FromProc(captures.Folder(name)).AsBooted().WithoutContents());
}
