using System.Diagnostics;
using System.Text.RegularExpressions;
using FluentAssertions;
using Xunit;

namespace MemSim.Tool.Tests;

/// <summary>What a person at a terminal sees, and what becomes of streams that are closed.</summary>
public sealed partial class TerminalTests(RecordingsFixture recordings)
{
    [Theory]
    [InlineData(80)]
    [InlineData(60)]
    public void The_main_job_breaks_no_number_and_leaves_none_out(int width)
    {
        string[] wide = Seen(200, "run", "--quick").Split('\n');
        string[] narrow = Seen(width, "run", "--quick").Split('\n');

        // The boot log and names that no blank is in are as they are.
        narrow.SkipWhile(l => !l.StartsWith("Its zones", StringComparison.Ordinal)).Where(l => l.Length > width && !l.Contains("pages free", StringComparison.Ordinal) && !l.StartsWith("0 to 9", StringComparison.Ordinal) && !l.StartsWith("Its zones", StringComparison.Ordinal) && !l.StartsWith("Share of", StringComparison.Ordinal)).Should().BeEmpty();
        Numbers(narrow, "Its zones", "== The machine").Should().Contain(Numbers(wide, "Its zones", "== The machine"));
        Numbers(narrow, "buddyinfo", "Share of").Should().Contain(Numbers(wide, "buddyinfo", "Share of"));
    }

    [Theory]
    [InlineData(80)]
    [InlineData(50)]
    public void Top_fits_the_terminal(int width)
    {
        using CancellationTokenSource interrupted = new();
        using StringWriter output = new();
        ToolConsole console = new(output, TextWriter.Null) { OutputIsTerminal = true, Width = width, Interrupted = interrupted.Token };
        interrupted.CancelAfter(TimeSpan.FromMilliseconds(500));
        ToolApp.Run(["top", "memory-hog", "--every", "3000", "--delay", "50"], console);

        string text = Codes().Replace(output.ToString(), "");
        text.Should().Contain("memory KiB: MemTotal").And.Contain("oom_kill");
        text.Split('\n').Where(l => l.TrimEnd().Length > width).Should().BeEmpty();
    }

    [Theory]
    [InlineData("explain")]
    [InlineData("replay")]
    [InlineData("stat")]
    [InlineData("scenario")]
    [InlineData("top")]
    [InlineData("plot", "--out", "x.svg")]
    public async Task A_standard_input_that_is_closed_is_said_to_be(string verb, params string[] options)
    {
        (int exitCode, string output, string error) = await Shell($"exec \"$0\" \"$@\" <&-", [verb, "-", .. options]);

        exitCode.Should().Be(2, error);
        output.Should().BeEmpty();
        error.Should().StartWith("(standard input): it is closed");
    }

    [Fact]
    public async Task A_standard_output_that_is_closed_is_an_error()
    {
        (int exitCode, _, string error) = await Shell("exec \"$0\" \"$@\" >&-", ["scenario"]);

        exitCode.Should().Be(2, error);
        error.Should().Contain("standard output is closed");
    }

    [Fact]
    public async Task A_pipe_is_read_to_its_end()
    {
        (int exitCode, string output, string error) = await Shell("printf 'x: page allocation failure: order:1, mode:0x20\\n' | \"$0\" \"$@\"", ["explain", "-"]);

        exitCode.Should().Be(1, error);
        output.Should().Contain("UNDECIDABLE");
    }

    [Fact]
    public void Of_several_logs_each_report_says_which_it_is_from()
    {
        string folder = recordings.EmptyFolder();
        string one = Path.Combine(folder, "one.log");
        string two = Path.Combine(folder, "two.log");
        File.WriteAllText(one, "a: page allocation failure: order:1, mode:0x20\nwhat is this\nCPU: 0 PID: 1 Comm: a Not tainted 6.6.1 #1\n");
        File.WriteAllText(two, "b: page allocation failure: order:1, mode:0x20\nCPU: 0 PID: 1 Comm: b Not tainted 6.6.1 #1\n");

        string[] lines = ToolRun.Of("explain", one, two).Out.Split('\n');
        lines.Should().Contain(l => l.StartsWith($"{one}: line 1: page allocation failure", StringComparison.Ordinal)).And.Contain(l => l.StartsWith($"{two}: line 1: page allocation failure", StringComparison.Ordinal));
        lines.Should().Contain($"lines not understood: {one}: 2");
        ToolRun.Of("explain", one, two, "--json").Json().GetProperty("reports").EnumerateArray().Select(r => r.GetProperty("file").GetString()).Should().Equal(one, two);
        ToolRun.Of("explain", one).Out.Should().StartWith("line 1:", "there is only one");
    }

    [Fact]
    public void Of_recordings_of_one_name_each_result_says_which_it_is_of()
    {
        string copy = recordings.CopyOf(recordings.Run);
        ToolRun run = ToolRun.Of("replay", recordings.Run, copy);

        run.Out.Split('\n').Should().Contain(l => l.StartsWith(copy + ": ", StringComparison.Ordinal)).And.Contain(l => l.StartsWith(recordings.Run + ": ", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("7.3", "Linux 7.3.0 as asked for")]
    [InlineData("6.1.0-56-amd64", "Linux 6.1.0 as asked for")]
    [InlineData("Linux host 5.10.0-28-amd64 #1 SMP Debian 5.10.209-2 x86_64 GNU/Linux", "Linux 5.10.0 as asked for")]
    [InlineData("Linux version 6.12.9 (gcc 14.2.0)", "Linux 6.12.9 as asked for")]
    public void Explain_takes_the_names_of_kernels_that_boot_takes(string name, string rules)
    {
        string file = Path.Combine(recordings.EmptyFolder(), "log");
        File.WriteAllText(file, "a: page allocation failure: order:1, mode:0x20\n");

        ToolRun.Of("boot", "--memory", "256M", "--quiet", "--kernel", name).ExitCode.Should().Be(0);
        ToolRun.Of("explain", file, "--kernel", name).Out.Should().Contain("rules: " + rules);
        ToolRun.Of("explain", file, "--kernel", "x" + name.Replace(".", "", StringComparison.Ordinal)).ShouldBeRefused("no kernel version");
    }

    [Fact]
    public void A_run_replayed_by_the_rules_of_another_kernel_says_why_it_differs()
    {
        ToolRun run = ToolRun.Of("replay", recordings.Run, "--kernel", "7.3");

        run.ExitCode.Should().Be(1);
        run.Out.Should().Contain("was recorded on Linux 6.1, and --kernel asks for the rules of Linux 7.3");
        ToolRun.Of("replay", recordings.Run, "--kernel", "6.1").Out.Should().NotContain("was recorded on");
    }

    [Fact]
    public void A_trace_of_several_CPUs_that_is_not_all_equal_gives_1_unless_less_is_wanted()
    {
        string folder = recordings.CopyOf(recordings.Trace);
        string file = Path.Combine(folder, "trace.txt.gz");
        string[] lines = RecordingsFixture.Unpack(file).Split('\n');

        // Half of the events are said to be of another CPU, whose lists nobody knows.
        RecordingsFixture.Pack(file, string.Join('\n', lines.Select((l, i) => i % 2 == 0 ? l.Replace("[000]", "[001]", StringComparison.Ordinal) : l)));
        ToolRun run = ToolRun.Of("replay", folder);
        run.ExitCode.Should().Be(1, run.Out);
        run.Out.Should().Contain("--at-least PERCENT says what is enough");
        ToolRun.Of("replay", folder, "--at-least", "1").ExitCode.Should().Be(0);
    }

    private static string Seen(int width, params string[] args)
    {
        using StringWriter output = new();
        ToolApp.Run(args, new ToolConsole(output, TextWriter.Null) { OutputIsTerminal = true, Width = width }).Should().Be(0);
        return Codes().Replace(output.ToString(), "");
    }

    private static IEnumerable<string> Numbers(string[] lines, string from, string to) =>
        lines.SkipWhile(l => !l.StartsWith(from, StringComparison.Ordinal)).Skip(1).TakeWhile(l => !l.StartsWith(to, StringComparison.Ordinal)).SelectMany(l => Number().Matches(l).Select(m => m.Value)).Where(n => n.Length > 2).Distinct();

    /// <summary>Runs the tool as a process below a shell that does something to its streams; ended by force when it hangs.</summary>
    private static async Task<(int ExitCode, string Out, string Error)> Shell(string script, string[] args)
    {
        string tool = Path.Combine(AppContext.BaseDirectory, "MemSim.Tool");
        ProcessStartInfo start = new("/bin/sh", ["-c", script, tool, .. args]) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        using System.Diagnostics.Process process = System.Diagnostics.Process.Start(start)!;
        using CancellationTokenSource late = new(TimeSpan.FromSeconds(60));
        try
        {
            Task<string> output = process.StandardOutput.ReadToEndAsync(late.Token);
            Task<string> error = process.StandardError.ReadToEndAsync(late.Token);
            await process.WaitForExitAsync(late.Token);
            return (process.ExitCode, await output, await error);
        }
        catch (OperationCanceledException e)
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException("the tool hangs", e);
        }
    }

    [GeneratedRegex(@"\e\[[0-9;]*[A-Za-z]", RegexOptions.None, 1000)]
    private static partial Regex Codes();

    [GeneratedRegex("[0-9]+(\\.[0-9]+)?", RegexOptions.None, 1000)]
    private static partial Regex Number();
}
