using System.Formats.Tar;
using System.IO.Compression;
using FluentAssertions;
using Xunit;

namespace MemSim.Reports.Tests;

/// <summary>Files of <c>/proc</c> of real machines, with requests that were worked out by hand: the second table of docs/explain.md.</summary>
public sealed class ProcCaseTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("memsim-").FullName;

    public ProcCaseTests()
    {
        using var stream = new GZipStream(File.OpenRead(Path.Combine(Logs.Folder, "zoneinfo", "cases.tar.gz")), CompressionMode.Decompress);
        TarFile.ExtractToDirectory(stream, _root, overwriteFiles: true);
    }

    public void Dispose() => Directory.Delete(_root, recursive: true);

    public static TheoryData<string, string, string> Rows()
    {
        TheoryData<string, string, string> rows = new();
        foreach (string line in File.ReadLines(Path.Combine(Logs.Folder, "explain.md")).Where(l => l.StartsWith("| `/proc`", StringComparison.Ordinal)))
        {
            string[] cells = [.. line.Replace("\\|", "+", StringComparison.Ordinal).Split('|').Select(c => c.Trim())];
            rows.Add(cells[1][^2..], cells[3].Replace('+', '|'), cells[4]);
        }

        return rows;
    }

    [Fact]
    public void The_table_has_a_row_for_each_folder() =>
        Rows().Select(r => r.Data.Item1).Distinct().Should().Equal(Directory.GetDirectories(_root).Select(d => Path.GetFileName(d)[..2]).Order());

    [Theory]
    [MemberData(nameof(Rows))]
    public void A_request_on_it_is_answered_as_it_was_worked_out_by_hand(string id, string request, string reason)
    {
        string[] words = request.Trim('`').Split("` order ");

        Explain(id, words[0], int.Parse(words[1])).Verdict.ToString().ToLowerInvariant().Should().Be(reason);
    }

    [Fact]
    public void What_too_little_is_known_of_is_not_taken_for_a_failure_where_nothing_failed()
    {
        ReportExplanation explanation = Explain("36", "GFP_ATOMIC", 2);

        explanation.Zone("DMA").Reason.Should().Be(Verdict.Reserve, "it fails for certain, but the request would have been let into Normal before");
        explanation.Why[0].Should().StartWith("Node 0 Normal: cannot be decided, because the list of its free blocks");
        explanation.Why.Should().Contain("Node 0 DMA: lowmem_reserve keeps 15931 pages back from this request: it misses by 11971 pages (46.8 MiB).");
    }

    [Fact]
    public void Files_that_name_no_kernel_tell_its_age_by_what_they_have()
    {
        Explain("28", "GFP_ATOMIC", 2).Rules.Should().Contain("hot and cold lists: before 2.6.25");
        Explain("28", "GFP_ATOMIC", 2).Zone("DMA").Arithmetic.Should().Contain(a => a.StartsWith("order 1: minus 14 pages in 7 blocks leaves 5385", StringComparison.Ordinal));
        Explain("33", "GFP_KERNEL", 10).Rules.Should().Contain("6 x batch: before 5.14.0").And.Contain("per-node stats: since 4.8.0");
    }

    [Fact]
    public void Lists_that_cannot_be_of_the_same_moment_as_the_counter_are_told() =>
        Explain("37", "GFP_ATOMIC", 2).Zone("Normal").Arithmetic.Should().Contain(a => a.Contains("18158956 kB free, the lists hold 128556 kB: too far apart"));

    [Fact]
    public void A_zone_that_old_kernels_never_find_balanced_is_told() =>
        Explain("39", "GFP_KERNEL", 0).Notes.Should().Contain(n => n.StartsWith("Node 0 Normal manages 36 kB and its min is 0", StringComparison.Ordinal));

    [Fact]
    public void Files_that_may_not_be_read_are_named_and_the_rest_is_used()
    {
        string folder = Directory.GetDirectories(_root, "34-*").Single();
        if (OperatingSystem.IsWindows() || Environment.IsPrivilegedProcess)
        {
            // Root reads everything: a folder in place of the file cannot be read by anybody.
            return;
        }

        File.SetUnixFileMode(Path.Combine(folder, "pagetypeinfo"), UnixFileMode.None);

        KernelReport report = ProcState.Read(folder);

        report.Zones.Should().NotBeEmpty();
        report.Notes.Should().ContainSingle().Which.Should().StartWith("pagetypeinfo may not be read");
    }

    [Fact]
    public void Memory_that_no_zone_counts_does_not_change_the_size_of_pages()
    {
        // meminfo of a machine whose MemTotal is 7.5 KiB a page of zoneinfo.
        string folder = Directory.GetDirectories(_root, "34-*").Single();
        string[] zones = File.ReadAllLines(Path.Combine(folder, "zoneinfo"));
        long managed = zones.Where(l => l.Contains(" managed ")).Sum(l => long.Parse(l.Trim().Split(' ')[^1]));
        File.WriteAllText(Path.Combine(folder, "meminfo"), $"MemTotal: {managed * 15 / 2} kB\nMemFree: {managed * 6} kB\n");

        KernelReport report = ProcState.Read(folder, GfpReading.Parse("GFP_KERNEL"), 0);

        ReportExplainer.Explain(report).PageSizeKiB.Should().Be(4);
        report.Notes.Should().ContainSingle(n => n.StartsWith("meminfo and zoneinfo do not fit", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(4)]
    [InlineData(16)]
    [InlineData(64)]
    public void The_size_of_pages_is_that_of_all_memory_by_the_pages_of_the_zones(int size)
    {
        string folder = Directory.GetDirectories(_root, "34-*").Single();
        long managed = File.ReadAllLines(Path.Combine(folder, "zoneinfo")).Where(l => l.Contains(" managed ")).Sum(l => long.Parse(l.Trim().Split(' ')[^1]));
        File.WriteAllText(Path.Combine(folder, "meminfo"), $"MemTotal: {(managed - 500) * size} kB\n");

        ReportExplainer.Explain(ProcState.Read(folder)).PageSizeKiB.Should().Be(size);
    }

    private ReportExplanation Explain(string id, string gfp, int order) =>
        ReportExplainer.Explain(ProcState.Read(Directory.GetDirectories(_root, id + "-*").Single(), GfpReading.Parse(gfp), order));

    [Theory]
    [InlineData("HugePages_Total: 100\nHugePages_Free: 75\nHugepagesize: 2048 kB\n", 200, 150)]
    [InlineData("HugePages_Total: 100\nHugePages_Free: 75\nHugepagesize: 2048 kB\nHugetlb: 1253376 kB\n", 1224, 150)]
    public void Pools_of_huge_pages_are_read_from_meminfo(string lines, int mebibytes, int unused)
    {
        string folder = Directory.GetDirectories(_root, "34-*").Single();
        File.WriteAllText(Path.Combine(folder, "meminfo"), lines);

        ReportExplanation explanation = ReportExplainer.Explain(ProcState.Read(folder, GfpReading.Parse("GFP_KERNEL"), 0));

        explanation.Consumers.Should().Contain(new Consumer("huge pages (hugetlb)", mebibytes << 10, $"{unused} MiB of it not in use"));
    }
}
