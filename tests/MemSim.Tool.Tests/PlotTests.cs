using System.Buffers.Binary;
using System.IO.Compression;
using System.Text.Json;
using System.Xml.Linq;
using FluentAssertions;
using Xunit;

namespace MemSim.Tool.Tests;

/// <summary><c>memsim plot</c>: pictures of watermarks and reclaim, of scenarios and recordings, the same bytes on every run.</summary>
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
        JsonElement plot = Plot(what);
        JsonElement[] panels = [.. plot.GetProperty("panels").EnumerateArray()];
        panels.SelectMany(p => p.GetProperty("series").EnumerateArray().Concat(p.GetProperty("levels").EnumerateArray())).Select(Id).Should().BeEquivalentTo(series);
        Points(panels[0], "free").Should().HaveCountGreaterThan(100);
        string svg = File.ReadAllText(file);
        XDocument.Parse(svg).Descendants().Where(e => e.Name.LocalName == "polyline").Max(e => e.Attribute("points")!.Value.Split(' ').Length).Should().BeGreaterThan(100);

        // When this fails because behaviour changed on purpose: draw docs/images anew with the command.
        svg.Should().Be(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Data", "images", what + ".svg")).ReplaceLineEndings("\n"));
    }

    [Fact]
    public void Free_memory_stays_between_what_is_there_and_nothing_and_marks_lie_on_its_line()
    {
        JsonElement panel = Plot("watermarks").GetProperty("panels")[0];
        (double X, double Y)[] free = Points(panel, "free");
        free.Select(p => p.X).Should().BeInAscendingOrder();
        free.Should().OnlyContain(p => p.Y > 0);
        double low = panel.GetProperty("levels").EnumerateArray().Single(l => Id(l) == "low").GetProperty("value").GetDouble();
        (double X, double Y)[] wakes = Points(panel, "kswapd-wakes");
        wakes.Should().OnlyContain(p => p.Y < low * 1.02, "kswapd is woken when the next page would go below low");
        wakes.Should().BeSubsetOf(free, "a mark is a sample too");
    }

    [Fact]
    public void A_scenario_is_drawn_from_its_samples()
    {
        JsonElement plot = Plot("memory-hog");
        JsonElement memory = plot.GetProperty("panels")[0];
        JsonElement samples = ToolRun.Of("scenario", "memory-hog", "--json").Json().GetProperty("report").GetProperty("samples");
        Points(memory, "anon").Select(p => p.Y).Should().Equal(samples.EnumerateArray().Select(s => Math.Round(s.GetProperty("anon_pages").GetInt64() / 256.0, 5)));
        Points(memory, "oom-kills").Should().ContainSingle();
        Points(plot.GetProperty("panels")[1], "swapped-out").Sum(p => p.Y).Should().Be(samples.EnumerateArray().Last().GetProperty("swapped_out").GetInt64());
    }

    [Fact]
    public void A_recording_is_drawn_while_it_is_replayed()
    {
        string file = Path.Combine(recordings.EmptyFolder(), "trace.svg");
        JsonElement plot = Plot(recordings.Trace, "--out", file);
        JsonElement[] panels = [.. plot.GetProperty("panels").EnumerateArray()];
        panels.Select(p => p.GetProperty("name").GetString()).Should().Equal("DMA, MiB free", "DMA32, MiB free");
        (double X, double Y)[] free = Points(panels[1], "free-1");
        (double X, double Y)[] large = Points(panels[1], "free-1-order-9");
        free.Should().HaveCountGreaterThan(100).And.HaveSameCount(large);
        free.Zip(large).Should().OnlyContain(p => p.First.X == p.Second.X && p.First.Y >= p.Second.Y, "free memory in large blocks is free memory");
        free.Select(p => p.Y).Distinct().Should().HaveCountGreaterThan(10);
        XDocument.Parse(File.ReadAllText(file)).Root!.Value.Should().Contain("of use to order 9");
    }

    [Fact]
    public void A_picture_of_dots_has_words_and_lines_and_is_the_same_each_time()
    {
        string folder = recordings.EmptyFolder();
        string[] files = [Path.Combine(folder, "a.png"), Path.Combine(folder, "b.png")];
        foreach (string file in files)
        {
            ToolRun.Of("plot", "reclaim", "--out", file).ExitCode.Should().Be(0);
        }

        byte[] png = File.ReadAllBytes(files[0]);
        File.ReadAllBytes(files[1]).Should().Equal(png);
        (int width, int height) = (BinaryPrimitives.ReadInt32BigEndian(png.AsSpan(16)), BinaryPrimitives.ReadInt32BigEndian(png.AsSpan(20)));
        byte[] pixels = Pixels(png);
        pixels.Should().HaveCount(height * (1 + (width * 3)));
        int Count(byte r, byte g, byte b) => Enumerable.Range(0, width * height).Count(i => pixels.AsSpan(1 + (i / width) + (i * 3), 3).SequenceEqual([r, g, b]));
        Count(0xfd, 0xae, 0x6b).Should().BeGreaterThan(10_000, "anonymous pages fill an area");
        Count(0x1f, 0x3b, 0x73).Should().BeGreaterThan(500, "free memory is a line");
        Count(0, 0, 0).Should().BeGreaterThan(1500, "there are words and axes");
    }

    [Theory]
    [InlineData("weather", "x.svg", "there is no 'weather'")]
    [InlineData("reclaim", "x.gif", "ends neither in .svg nor in .png")]
    [InlineData("reclaim", "no/such/folder/x.svg", "no/such/folder")]
    public void What_cannot_be_drawn_is_refused(string what, string file, string reason) =>
        ToolRun.Of("plot", what, "--out", Path.Combine(recordings.EmptyFolder(), file)).ShouldBeRefused(reason);

    [Fact]
    public void Who_names_no_picture_wants_figures() => ToolRun.Of("plot", "reclaim").ShouldBeRefused("--out names the picture to write");

    private static JsonElement Plot(string what, params string[] options)
    {
        JsonElement document = ToolRun.Of(["plot", what, "--json", .. options]).Json();
        document.GetProperty("verb").GetString().Should().Be("plot");
        document.GetProperty("kernel").GetString().Should().StartWith("Linux ");
        return document.GetProperty("plot");
    }

    private static string Id(JsonElement series) => series.GetProperty("id").GetString()!;

    private static (double X, double Y)[] Points(JsonElement panel, string id) =>
        [.. panel.GetProperty("series").EnumerateArray().Single(s => Id(s) == id).GetProperty("points").EnumerateArray().Select(p => (p.GetProperty("x").GetDouble(), p.GetProperty("y").GetDouble()))];

    private static byte[] Pixels(byte[] png)
    {
        int at = 8;
        using MemoryStream packed = new();
        while (at < png.Length)
        {
            int length = BinaryPrimitives.ReadInt32BigEndian(png.AsSpan(at));
            if (png.AsSpan(at + 4, 4).SequenceEqual("IDAT"u8))
            {
                packed.Write(png, at + 8, length);
            }

            at += 12 + length;
        }

        packed.Position = 0;
        using ZLibStream zlib = new(packed, CompressionMode.Decompress);
        using MemoryStream pixels = new();
        zlib.CopyTo(pixels);
        return pixels.ToArray();
    }
}
