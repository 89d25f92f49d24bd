using System.Text.Json;
using FluentAssertions;
using Xunit;

namespace MemSim.Tool.Tests;

/// <summary><c>memsim top</c>: a machine while something happens on it.</summary>
public class TopTests(RecordingsFixture recordings)
{
    [Fact]
    public void A_hog_grows_swaps_and_is_killed_while_one_watches()
    {
        JsonElement[] frames = Frames("top", "memory-hog", "--every", "5000");
        frames.Should().HaveCountGreaterThan(10);
        frames.Select(f => f.GetProperty("at").GetInt64()).Should().BeInAscendingOrder().And.OnlyHaveUniqueItems();
        Event(frames[^1], "oom_kill").Should().Be(1);
        long[] largest = [.. frames.Select(f => f.GetProperty("processes").EnumerateArray().Select(p => p.GetProperty("resident_pages").GetInt64()).FirstOrDefault())];
        largest.Max().Should().BeGreaterThan(10_000);
        JsonElement crowded = frames.MaxBy(f => f.GetProperty("processes").GetArrayLength());
        crowded.GetProperty("processes").EnumerateArray().Select(p => p.GetProperty("resident_pages").GetInt64()).Should().BeInDescendingOrder().And.HaveCountGreaterThan(1);
        frames.Should().Contain(f => f.GetProperty("processes").EnumerateArray().Any(p => p.GetProperty("swap_entries").GetInt64() > 0));
        frames.Should().OnlyContain(f => f.GetProperty("memory").GetProperty("MemFree").GetInt64() <= f.GetProperty("memory").GetProperty("MemTotal").GetInt64());
        frames[^1].GetProperty("processes").GetArrayLength().Should().Be(0, "a scenario leaves nobody behind");
    }

    [Fact]
    public void Watching_changes_nothing()
    {
        string trace = recordings.Trace;
        JsonElement end = ToolRun.Of("replay", trace, "--json").Json().GetProperty("recordings")[0].GetProperty("zones");
        Frames("top", trace, "--every", "100")[^1].GetProperty("zones").ToString().Should().Be(end.ToString());
    }

    [Fact]
    public void Where_nobody_watches_pictures_follow_each_other()
    {
        ToolRun run = ToolRun.Of("top", recordings.Run, "--every", "4000");
        run.ExitCode.Should().Be(0, run.Error);
        run.Out.Split("memsim top: 512M-chain-1a, at ").Should().HaveCountGreaterThan(4);
        run.Out.Should().Contain("node zone").And.NotContain("\e");
    }

    [Fact]
    public void On_a_terminal_a_picture_replaces_the_one_before_and_an_interrupt_ends_it()
    {
        using CancellationTokenSource interrupted = new();
        using StringWriter output = new();
        ToolConsole console = new(output, TextWriter.Null) { OutputIsTerminal = true, Width = 80, Interrupted = interrupted.Token };
        interrupted.CancelAfter(TimeSpan.FromMilliseconds(300));
        ToolApp.Run(["top", recordings.Run, "--every", "10", "--delay", "200"], console).Should().Be(130);
        string[] pictures = output.ToString().Split("\e[H", StringSplitOptions.RemoveEmptyEntries);
        pictures.Length.Should().BeInRange(1, 4);
        pictures[0].Should().EndWith("\e[J");
    }

    [Theory]
    [InlineData("weather", "--every", "1", "there is no 'weather'")]
    [InlineData("memory-hog", "--every", "0", "no distance between pictures")]
    [InlineData("memory-hog", "--delay", "-1", "not between 0 and 60000")]
    public void Nonsense_is_refused(string what, string option, string value, string reason) => ToolRun.Of("top", what, option, value).ShouldBeRefused(reason);

    private static JsonElement[] Frames(params string[] args)
    {
        JsonElement document = ToolRun.Of([.. args, "--json"]).Json();
        document.GetProperty("kernel").GetString().Should().StartWith("Linux ");
        return [.. document.GetProperty("frames").EnumerateArray()];
    }

    private static long Event(JsonElement frame, string name) => frame.GetProperty("events").GetProperty(name).GetInt64();
}
