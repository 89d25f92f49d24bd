using System.Xml.Linq;
using FluentAssertions;
using Xunit;

namespace MemSim.Tool.Tests;

/// <summary><c>memsim plot</c>: pictures of watermarks and reclaim, the same bytes on every run.</summary>
public class PlotTests(RecordingsFixture recordings)
{
    [Theory]
    [InlineData("watermarks", "free", "min", "low", "high", "kswapd-wakes", "kswapd-sleeps", "direct-reclaim", "atomic-fails")]
    [InlineData("reclaim", "free", "min", "low", "high", "kswapd-wakes", "kswapd-sleeps", "direct-reclaim", "inactive-file", "active-file", "inactive-anon", "active-anon", "swap-used")]
    public void The_documented_picture_is_what_the_command_draws(string what, params string[] series)
    {
        string file = Path.Combine(recordings.EmptyFolder(), what + ".svg");
        ToolRun run = ToolRun.Of("plot", what, "--out", file);
        run.ExitCode.Should().Be(0, run.Error);
        run.Out.Should().MatchRegex(@"kswapd woke [1-9]\d* times, [1-9]\d* requests reclaimed for themselves\n$");
        string svg = File.ReadAllText(file);
        string[] ids = [.. XDocument.Parse(svg).Descendants().Select(e => e.Attribute("id")?.Value).OfType<string>()];
        ids.Should().Contain(series).And.OnlyHaveUniqueItems();
        XElement free = XDocument.Parse(svg).Descendants().Single(e => e.Attribute("id")?.Value == "free");
        free.Attribute("d")!.Value.Split('L', 'V').Should().HaveCountGreaterThan(100);

        // When this fails because behaviour changed on purpose: draw docs/images anew with the command.
        svg.Should().Be(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Data", "images", what + ".svg")).ReplaceLineEndings("\n"));
    }

    [Theory]
    [InlineData("weather", "x.svg", "there is no 'weather'")]
    [InlineData("reclaim", "x.png", "does not end in .svg")]
    [InlineData("reclaim", "no/such/folder/x.svg", "no/such/folder")]
    public void What_cannot_be_drawn_is_refused(string what, string file, string reason) =>
        ToolRun.Of("plot", what, "--out", Path.Combine(recordings.EmptyFolder(), file)).ShouldBeRefused(reason);
}
