using System.Text.Json;
using FluentAssertions;
using Xunit;

namespace MemSim.Tool.Tests;

public sealed class ExplainTests : IDisposable
{
    internal const string Failure = """
        [ 1186.232273] task: page allocation failure: order:4, mode:0x40c40(GFP_NOFS|__GFP_COMP), nodemask=(null),cpuset=/,mems_allowed=0
        [ 1186.232287] CPU: 3 PID: 1108 Comm: task Not tainted 5.19.0 #1
        [ 1186.232608] Mem-Info:
        [ 1186.232629] Node 0 Normal free:4000kB boost:0kB min:400kB low:500kB high:600kB reserved_highatomic:0KB managed:100000kB free_cma:0kB
        [ 1186.232652] lowmem_reserve[]: 0 0
        [ 1186.232691] Node 0 Normal: 500*4kB (UM) 250*8kB (U) 0*16kB 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB = 4000kB
        """;

    private readonly string _folder = Directory.CreateTempSubdirectory("memsim").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void The_answer_stands_in_the_first_lines()
    {
        ToolRun run = ToolRun.Of("explain", Log(Failure));

        run.ExitCode.Should().Be(0);
        string[] lines = run.Out.Split('\n');
        lines[0].Should().Contain("FRAGMENTED").And.Contain("order 4").And.Contain("5.19.0");
        lines[1].Should().StartWith("why: ").And.Contain("no free block of order 4");
        lines[2].Should().StartWith("now: ");
    }

    [Fact]
    public void The_document_has_the_fields_of_the_contract()
    {
        ToolRun run = ToolRun.Of("explain", Log(Failure + "\nwhat is this\n[ 1187.1] x: page allocation failure: order:0, mode:0x20"), "--json");

        run.ExitCode.Should().Be(1, "the second report has no zones");
        using JsonDocument document = JsonDocument.Parse(run.Out);
        JsonElement report = document.RootElement.GetProperty("reports")[0];
        report.GetProperty("kind").GetString().Should().Be("allocation-failure");
        report.GetProperty("kernel").GetString().Should().Be("5.19.0");
        report.GetProperty("pageSizeKiB").GetInt32().Should().Be(4);
        report.GetProperty("order").GetInt32().Should().Be(4);
        report.GetProperty("gfp").EnumerateArray().Select(g => g.GetString()).Should().Equal("GFP_NOFS", "__GFP_COMP");
        report.GetProperty("verdict").GetString().Should().Be("fragmented");
        report.GetProperty("line").GetInt64().Should().Be(1);
        JsonElement zone = report.GetProperty("zones")[0];
        zone.GetProperty("node").GetInt32().Should().Be(0);
        zone.GetProperty("name").GetString().Should().Be("Normal");
        zone.GetProperty("eligible").GetBoolean().Should().BeTrue();
        zone.GetProperty("freePages").GetInt64().Should().Be(1000);
        zone.GetProperty("unusablePages").GetInt64().Should().Be(15);
        zone.GetProperty("limitPages").GetInt64().Should().Be(100);
        zone.GetProperty("missingPages").GetInt64().Should().Be(0);
        zone.GetProperty("largestUsableOrder").GetInt32().Should().Be(1);
        zone.GetProperty("passes").GetBoolean().Should().BeFalse();
        JsonElement order = report.GetProperty("savedBy").EnumerateArray().First(s => s.GetProperty("knob").GetString() == "order");
        order.GetProperty("value").GetString().Should().Be("1");
        order.GetProperty("works").GetBoolean().Should().BeTrue();
        document.RootElement.GetProperty("reports")[1].GetProperty("verdict").GetString().Should().Be("undecidable");
        document.RootElement.GetProperty("unknownLines").EnumerateArray().Select(l => l.GetInt64()).Should().Equal(7);
    }

    [Fact]
    public void A_log_without_a_report_is_bad_input()
    {
        ToolRun run = ToolRun.Of("explain", Log("[    0.000000] Linux version 6.1.0\n"));

        run.ExitCode.Should().Be(2);
        run.Out.Should().BeEmpty();
        run.Error.Should().Contain("no report about memory found");
    }

    [Theory]
    [InlineData("explain", "no-such-file.txt")]
    [InlineData("explain")]
    [InlineData("explain", "--kernel", "six", "-")]
    public void Bad_options_are_bad_input(params string[] args)
    {
        ToolRun run = ToolRun.Of(args);

        run.ExitCode.Should().Be(2);
        run.Out.Should().BeEmpty();
        run.Error.Should().NotBeEmpty();
    }

    [Fact]
    public void Another_kernel_can_be_named_and_its_rules_differ()
    {
        string log = Log("""
            make invoked oom-killer: gfp_mask=0xd0, order=1, oomkilladj=0
            Normal free:108788kB min:2000kB low:2500kB high:3000kB present:500000kB
            lowmem_reserve[]: 0 0
            Normal: 27065*4kB 64*8kB 1*16kB 0*32kB 0*64kB 0*128kB 0*256kB 0*512kB 0*1024kB 0*2048kB 0*4096kB = 108788kB
            """);

        ToolRun.Of("explain", log).Out.Should().Contain("OOM kill: FRAGMENTED");
        ToolRun.Of("explain", log, "--kernel", "5.10").Out.Should().Contain("OOM kill: PASSES");
    }

    [Fact]
    public void A_folder_of_proc_files_answers_what_a_request_would_meet()
    {
        File.WriteAllText(Path.Combine(_folder, "version"), "Linux version 6.1.150 (x) #1 SMP");
        File.WriteAllText(Path.Combine(_folder, "zoneinfo"), """
            Node 0, zone   Normal
              pages free     1000
                    boost    0
                    min      100
                    low      125
                    high     150
                    spanned  30000
                    present  30000
                    managed  25000
                    protection: (0, 0)
              pagesets
                cpu: 0
                          count: 17
            """);
        File.WriteAllText(Path.Combine(_folder, "buddyinfo"), "Node 0, zone   Normal    488      0      0      0     32      0      0      0      0      0      0 \n");
        File.WriteAllText(Path.Combine(_folder, "pagetypeinfo"), """
            Page block order: 9
            Pages per block:  512

            Free pages count per migrate type at order       0      1      2      3      4      5      6      7      8      9     10
            Node    0, zone   Normal, type    Unmovable    488      0      0      0      0      0      0      0      0      0      0
            Node    0, zone   Normal, type   HighAtomic      0      0      0      0     32      0      0      0      0      0      0

            Number of blocks type     Unmovable      Movable  Reclaimable   HighAtomic
            Node 0, zone   Normal           16           32            0            1
            """);

        ToolRun kernel = ToolRun.Of("explain", "--from", _folder, "--gfp", "GFP_KERNEL", "--order", "4", "--json");
        kernel.ExitCode.Should().Be(0);
        using JsonDocument document = JsonDocument.Parse(kernel.Out);
        JsonElement report = document.RootElement.GetProperty("reports")[0];
        report.GetProperty("kind").GetString().Should().Be("state");
        report.GetProperty("verdict").GetString().Should().Be("highatomic");
        report.GetProperty("zones")[0].GetProperty("unusablePages").GetInt64().Should().Be(15 + 512);
        ToolRun.Of("explain", "--from", _folder, "--gfp", "GFP_ATOMIC", "--order", "4").Out.Should().Contain("PASSES").And.Contain("would succeed");
        ToolRun.Of("explain", "--from", _folder, "--gfp", "GFP_WHAT").ExitCode.Should().Be(2);
        ToolRun.Of("explain", "--from", Path.Combine(_folder, "no")).ExitCode.Should().Be(2);
    }

    [Fact]
    public void A_picture_of_nothing_is_refused_and_the_last_report_with_zones_is_drawn()
    {
        string file = Path.Combine(_folder, "nothing.svg");
        const string Bare = "[1.0] x: page allocation failure: order:1, mode:0x20\n";

        ToolRun nothing = ToolRun.Of("explain", Log(Bare), "--svg", file);
        nothing.ExitCode.Should().Be(2);
        nothing.Error.Should().Contain("nothing to draw");
        File.Exists(file).Should().BeFalse();

        ToolRun.Of("explain", Log(Failure + "\n" + Bare), "--svg", file);
        File.ReadAllText(file).Should().Contain("Normal");
    }

    [Fact]
    public void A_picture_shows_the_blocks_of_each_zone_against_its_limits()
    {
        string file = Path.Combine(_folder, "zones.svg");

        ToolRun.Of("explain", Log(Failure), "--svg", file).ExitCode.Should().Be(0);

        System.Xml.Linq.XDocument picture = System.Xml.Linq.XDocument.Load(file);
        string text = string.Join(' ', picture.Descendants().Where(e => e.Name.LocalName == "text").Select(e => e.Value));
        text.Should().ContainAll("Node 0 Normal", "min 100", "limit 100", "order 4", "U");
    }

    [Fact]
    public void The_same_picture_is_written_as_png_with_words_in_it()
    {
        string file = Path.Combine(_folder, "zones.png");
        string again = Path.Combine(_folder, "again.png");

        ToolRun.Of("explain", Log(Failure), "--png", file).ExitCode.Should().Be(0);
        ToolRun.Of("explain", Log(Failure), "--png", again).ExitCode.Should().Be(0);

        byte[] png = File.ReadAllBytes(file);
        png.Take(8).Should().Equal(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
        png.Should().Equal(File.ReadAllBytes(again));
        System.Buffers.Binary.BinaryPrimitives.ReadInt32BigEndian(png.AsSpan(16)).Should().Be(1060);
    }

    private string Log(string text)
    {
        string file = Path.Combine(_folder, "log.txt");
        File.WriteAllText(file, text);
        return file;
    }
}
