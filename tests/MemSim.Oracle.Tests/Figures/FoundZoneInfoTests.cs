using System.Formats.Tar;
using System.IO.Compression;
using FluentAssertions;
using MemSim.Captures;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Oracle.Tests.Figures;

/// <summary>Files of <c>/proc</c> that people published: of kernels from 2.6.16 on, of machines that are not simulated, with settings that no file tells.</summary>
public sealed class FoundZoneInfoTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("memsim-found-").FullName;

    public FoundZoneInfoTests()
    {
        using var stream = new GZipStream(File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Data", "zoneinfo", "cases.tar.gz")), CompressionMode.Decompress);
        TarFile.ExtractToDirectory(stream, _root, overwriteFiles: true);
    }

    [Fact]
    public void Before_3_9_the_pages_present_are_those_managed()
    {
        TwinReport report = Compare("26-zoneinfo-3.2-no-managed");
        report.Kernel.Should().Be("Linux 3.2");
        Equal(report, "min", "low", "high", "protection", "pcp high", "pcp batch");
        report.Warnings.Should().Contain(w => w.Contains("before 3.9"));
        Computed(report, "DMA32", "high").Should().Be("10243", "high was min + min/2");
        Computed(report, "Normal", "pcp high").Should().Be("186", "the limit was six batches of 31");
    }

    [Fact]
    public void Hot_and_cold_lists_of_2_6_16_are_read()
    {
        CapturedMachine machine = CapturedMachine.Read(Folder("28-zoneinfo-2.6.16-arm"));
        machine.ZoneInfo.Zones.Should().ContainSingle().Which.Pagesets.Should().ContainSingle().Which.Should().BeEquivalentTo(new { Cpu = 0, Count = 2L, High = 6L, Batch = 1L });
        machine.Foreign.Should().NotBeNull("memory starts at 768 MiB: this is no x86");
        TwinReport report = Compare("28-zoneinfo-2.6.16-arm");
        (Computed(report, "DMA", "min"), Computed(report, "DMA", "low"), Computed(report, "DMA", "high")).Should().Be(("181", "226", "271"));
    }

    [Theory]
    [InlineData("29-zoneinfo-4.4-arm32", "502", "627", "753", "90")]
    [InlineData("30-zoneinfo-4.1-arm32-router", "307", "383", "460", "18")]
    public void A_32_bit_arm_is_named_and_its_figures_follow_the_rules_of_its_time(string name, string min, string low, string high, string limit)
    {
        TwinReport report = Compare(name);
        report.Warnings.Should().Contain(w => w.Contains("not simulated"));
        (Computed(report, "Normal", "min"), Computed(report, "Normal", "low"), Computed(report, "Normal", "high"), Computed(report, "Normal", "pcp high")).Should().Be((min, low, high, limit));
        TwinRow reserves = report.Rows.Single(r => r.Figure == "protection");
        reserves.Computed.Should().Be(reserves.Captured, "the kernel has as many zones as it has reserves");
        FluentActions.Invoking(() => MachineSpec.FromProc(Folder(name))).Should().Throw<InputFileException>().WithMessage("*x86*only x86 and arm64*");
    }

    [Fact]
    public void Limits_and_batches_of_3_13_follow_its_rules()
    {
        TwinReport report = Compare("32-zoneinfo-3.13-ubuntu");
        report.Kernel.Should().Be("Linux 3.13");
        report.Mismatched.Should().Be(0);
        report.Rows.Where(r => r.Figure is "pcp high" or "pcp batch").Should().OnlyContain(r => r.Verdict == TwinVerdict.Match);
        report.Warnings.Should().Contain(w => w.Contains("5.14"));
    }

    [Fact]
    public void A_sosreport_names_its_kernel_below_sys_and_has_proc_beneath()
    {
        string root = Path.Combine(_root, "sosreport");
        Copy(Folder("33-zoneinfo-4.18-sosreport"), Path.Combine(root, "proc"));
        Directory.CreateDirectory(Path.Combine(root, "proc", "sys", "kernel"));
        File.WriteAllText(Path.Combine(root, "proc", "sys", "kernel", "osrelease"), "4.18.0-80.11.2.el8_0.x86_64\n");
        TwinReport report = TwinComparison.Run(root);
        report.Kernel.Should().Be("Linux 4.18");
        report.Mismatched.Should().Be(0);
        report.Warnings.Should().Contain(w => w.Contains("Red Hat"));
        report.Rows.Where(r => r is { Zone: "Normal", Figure: "pcp batch" }).Should().OnlyContain(r => r.Reason!.Contains("before 5.4"));
    }

    [Fact]
    public void A_raised_min_free_kbytes_is_read_off_the_watermarks_and_said()
    {
        TwinReport report = Compare("36-zoneinfo-5.12-raised-min_free");
        report.Warnings.Should().Contain(w => w.Contains("135160..135171 kB; computed 67584") && w.Contains("135168 is used"));
        (Computed(report, "DMA", "min"), Computed(report, "DMA32", "min"), Computed(report, "Normal", "min")).Should().Be(("32", "7271", "26487"));
        using Machine machine = Machine.Boot(MachineSpec.FromProc(Folder("36-zoneinfo-5.12-raised-min_free")).WithoutContents());
        machine.Sysctl.Get("vm.min_free_kbytes").Should().Be("135168");
        machine.Warnings.Should().Contain(w => w.Contains("135168"));
    }

    [Fact]
    public void A_file_that_names_no_kernel_is_dated_by_its_rules()
    {
        TwinReport report = Compare("37-zoneinfo-node_exporter");
        report.Kernel.Should().Be("Linux 5.13");
        report.Mismatched.Should().Be(0);
        report.Rows.Where(r => r.Figure == "pcp high").Should().OnlyContain(r => r.Verdict == TwinVerdict.Match);
        report.Warnings.Should().Contain(w => w.Contains("6 x batch"));
    }

    [Fact]
    public void A_boot_with_fewer_pages_is_no_reason_to_infer_anything()
    {
        TwinReport report = Compare("34-zoneinfo-5.14-centos9");
        Computed(report, "DMA", "min").Should().Be("190");
        report.Warnings.Should().NotContain(w => w.Contains("add up to"));
    }

    [Fact]
    public void A_zone_of_nine_pages_boots_and_is_mentioned()
    {
        using Machine machine = Machine.Boot(MachineSpec.FromProc(Folder("39-zoneinfo-xen-tiny-normal")).WithoutContents());
        machine.Zones.Single(z => z.Type == ZoneType.Normal).ManagedPages.Should().Be(9);
        machine.Warnings.Should().Contain(w => w.Contains("zone Normal manages 9 of"));
    }

    [Fact]
    public void A_boost_that_the_file_does_not_print_is_inferred()
    {
        string folder = Folder("37-zoneinfo-node_exporter");
        string file = Path.Combine(folder, "zoneinfo");
        string[] lines = File.ReadAllLines(file);
        int at = Array.FindIndex(lines, l => l.EndsWith("zone    DMA32", StringComparison.Ordinal));
        for (int i = at; !lines[i].Contains("spanned"); i++)
        {
            foreach (string mark in (string[])["min", "low", "high"])
            {
                string[] words = lines[i].Split(' ', StringSplitOptions.RemoveEmptyEntries);
                lines[i] = words.Length == 2 && words[0] == mark ? $"        {mark,-8} {long.Parse(words[1], System.Globalization.CultureInfo.InvariantCulture) + 2048}" : lines[i];
            }
        }

        File.WriteAllLines(file, lines);
        ZoneInfoZone zone = CapturedMachine.Read(folder).ZoneInfo.Zones.Single(z => z.Type == ZoneType.Dma32);
        zone.Boost.Should().BeNull("the distance of the watermarks is the scale factor's here: it does not tell min");
        File.WriteAllText(file, Boosted);
        CapturedMachine machine = CapturedMachine.Read(folder);
        machine.ZoneInfo.Zones.Single(z => z.Type == ZoneType.Normal).Boost!.Value.Should().BeCloseTo(1024, 3);
        machine.ZoneInfo.Zones.Where(z => z.Type != ZoneType.Normal).Should().OnlyContain(z => z.Boost == null);
        machine.Remarks.Should().Contain(r => r.Contains("zone Normal") && r.Contains("boost"));
    }

    [Theory]
    [InlineData("x86_64", 16, "x86_64", null)]
    [InlineData("Linux host 5.10.0 #1 SMP aarch64 GNU/Linux", 16, "arm64", null)]
    [InlineData("Linux version 5.4.0-ppc64le", 16, "arm64", "64-bit PowerPC")]
    [InlineData("Linux version 6.1.0-s390x", 16, "arm64", "s390x")]
    public void The_name_of_the_machine_decides(string text, int dmaMiB, string architecture, string? foreign)
    {
        ZoneInfoFile file = ZoneInfoFile.Parse($"Node 0, zone DMA\n pages free 1\n spanned {(dmaMiB << 8) - 1}\n present 3998\n managed 3977\n protection: (0, 0, 0, 0)\n pagesets\n cpu: 0\n count: 0\n high: 0\n batch: 1\n start_pfn: 1\n");
        ArchitectureGuess guess = ArchitectureGuess.Of(text, file, null, null);
        (guess.Info.Name, guess.Foreign).Should().Be((architecture, foreign));
    }

    [Fact]
    public void Six_migrate_types_or_other_orders_make_no_arm64()
    {
        ZoneInfoFile file = ZoneInfoFile.Parse("Node 0, zone DMA\n pages free 1\n spanned 4095\n present 3998\n managed 3977\n protection: (0, 0, 0, 0, 0)\n pagesets\n cpu: 0\n count: 0\n high: 0\n batch: 1\n start_pfn: 1\n");
        ArchitectureGuess.Of("", file, pageblockOrder: 9, orders: 11).Should().Be(new ArchitectureGuess(ArchitectureInfo.X86_64));
        ArchitectureGuess.Of("", file, pageblockOrder: null, orders: 9).Foreign.Should().Contain("9 orders");
        ArchitectureGuess.Of("aarch64", file, pageblockOrder: 13, orders: 14).Foreign.Should().Be("arm64 with pages of 64 KiB");
    }

    public void Dispose() => Directory.Delete(_root, recursive: true);

    /// <summary>5.4 with 8 GiB: min_free_kbytes 67584, zone Normal boosted by 1024 pages.</summary>
    private const string Boosted = """
        Node 0, zone      DMA
          per-node stats
              nr_inactive_anon 1
          pages free     3977
                min      34
                low      42
                high     50
                spanned  4095
                present  3998
                managed  3977
                protection: (0, 2956, 7900, 7900, 7900)
          pagesets
            cpu: 0
                      count: 0
                      high:  0
                      batch: 1
          vm stats threshold: 2
          start_pfn:           1
        Node 0, zone    DMA32
          pages free     700000
                min      6316
                low      7895
                high     9474
                spanned  1044480
                present  782288
                managed  757000
                protection: (0, 0, 4944, 4944, 4944)
          pagesets
            cpu: 0
                      count: 0
                      high:  378
                      batch: 63
          vm stats threshold: 12
          start_pfn:           4096
        Node 0, zone   Normal
          pages free     12000
                min      11568
                low      14204
                high     16840
                spanned  1310720
                present  1310720
                managed  1263700
                protection: (0, 0, 0, 0, 0)
          pagesets
            cpu: 0
                      count: 0
                      high:  378
                      batch: 63
          vm stats threshold: 12
          start_pfn:           1048576

        """;

    private static void Equal(TwinReport report, params string[] figures)
    {
        foreach (TwinRow row in report.Rows.Where(r => figures.Contains(r.Figure)))
        {
            // A kernel without the zone Device prints a reserve less.
            row.Computed.Should().Be(row.Captured, "of {0}", row);
        }
    }

    private static string Computed(TwinReport report, string zone, string figure) => report.Rows.First(r => r.Zone == zone && r.Figure == figure).Computed;

    private static void Copy(string from, string to)
    {
        foreach (string file in Directory.GetFiles(from, "*", SearchOption.AllDirectories))
        {
            string target = Path.Combine(to, Path.GetRelativePath(from, file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }
    }

    private string Folder(string name) => Path.Combine(_root, name);

    private TwinReport Compare(string name) => TwinComparison.Run(Folder(name));
}
