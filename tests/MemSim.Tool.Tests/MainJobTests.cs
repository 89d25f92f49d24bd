using System.Text.Json;
using System.Xml.Linq;
using FluentAssertions;
using Xunit;

namespace MemSim.Tool.Tests;

public class MainJobTests(RecordingsFixture recordings)
{
    [Fact]
    public void The_quick_job_matches_whole_and_shows_what_happened()
    {
        ToolRun run = ToolRun.Of("run", "--quick");
        run.ShouldMatchWhole();
        run.Out.Should().Contain("zonelists").And.Contain("buddyinfo before:").And.Contain("buddyinfo at the end:").And.Contain("operations/s");
        run.Out.Should().NotContain("\u001b", "nobody watches");
        run.Error.Should().BeEmpty();
    }

    [Fact]
    public void The_whole_job_says_what_matched()
    {
        ToolRun run = ToolRun.Of("run", "--json");
        run.ExitCode.Should().Be(0, run.Error);
        JsonElement json = run.Json();
        json.GetProperty("kernel").GetString().Should().Be("Linux 6.1");
        json.GetProperty("warnings").GetArrayLength().Should().Be(0);
        json.GetProperty("parts").GetArrayLength().Should().BeGreaterThan(3);
        foreach (JsonElement part in json.GetProperty("parts").EnumerateArray())
        {
            part.GetProperty("fell_short").GetBoolean().Should().BeFalse();
            part.GetProperty("compared").GetInt64().Should().BePositive();
        }

        json.GetProperty("before")[0].GetProperty("unusable_index")[0].GetDouble().Should().Be(0);
        json.GetProperty("after").GetArrayLength().Should().Be(json.GetProperty("before").GetArrayLength());
    }

    [Fact]
    public void A_picture_is_drawn_in_either_format()
    {
        string svg = Path.Combine(recordings.EmptyFolder(), "map.svg");
        ToolRun.Of("run", "--quick", "--picture", svg).ExitCode.Should().Be(0);
        XDocument.Load(svg).Descendants(XName.Get("rect", "http://www.w3.org/2000/svg")).Should().HaveCountGreaterThan(200);

        string png = Path.Combine(recordings.EmptyFolder(), "map.png");
        ToolRun.Of("run", "--quick", "--picture", png).ExitCode.Should().Be(0);
        File.ReadAllBytes(png)[..8].Should().Equal(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
    }

    [Fact]
    public void A_picture_that_cannot_be_drawn_is_refused_before_the_work()
    {
        ToolRun.Of("run", "--picture", "map.bmp").ShouldBeRefused(".svg nor in .png");
        ToolRun.Of("run", "--picture", "/no/such/folder/map.svg").ShouldBeRefused("no such folder");
    }

    [Fact]
    public void A_terminal_gets_colours()
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        ToolApp.Run(["run", "--quick"], new ToolConsole(output, error) { OutputIsTerminal = true, ErrorIsTerminal = true }).Should().Be(0);
        output.ToString().Should().Contain("\u001b[");
        output.ToString().TrimEnd().Split('\n')[^1].Trim().Should().MatchRegex("^matched [0-9]+ of [0-9]+$");
    }
}
