using System.IO.Compression;
using System.Text;
using FluentAssertions;
using MemSim.Tool.CommandLine;
using Xunit;

namespace MemSim.Tool.Tests;

/// <summary>What people expect of any command: it says when it has nothing to say, reads pipes, knows what was meant.</summary>
public class MannersTests(RecordingsFixture recordings)
{
    private const string OneEvent = "          sh-1     [000] .....    11.175787: mm_page_alloc: page=00000000deadbeef pfn=0x100 order=0 migratetype=0 gfp_flags=GFP_KERNEL\n";

    [Fact]
    public void A_packed_trace_that_is_cut_off_is_no_shorter_trace()
    {
        using MemoryStream packed = new();
        using (GZipStream gzip = new(packed, CompressionLevel.Optimal, leaveOpen: true))
        {
            // Lines that do not repeat, so that there is something to cut off.
            for (int i = 0; i < 20_000; i++)
            {
                gzip.Write(Encoding.ASCII.GetBytes(OneEvent.Replace("0x100", $"0x{(i * 7919) & 0xffff:x}", StringComparison.Ordinal)));
            }
        }

        string file = Path.Combine(recordings.EmptyFolder(), "trace.txt.gz");
        File.WriteAllBytes(file, packed.ToArray()[..(int)(packed.Length / 2)]);
        ToolRun.Of("replay", file).ShouldBeRefused("the compressed data is damaged or cut off");
    }

    [Fact]
    public void A_packed_log_that_is_cut_off_is_named()
    {
        using MemoryStream packed = new();
        using (GZipStream gzip = new(packed, CompressionLevel.Optimal, leaveOpen: true))
        {
            for (int i = 0; i < 20_000; i++)
            {
                gzip.Write(Encoding.ASCII.GetBytes($"[{i * 7919 % 65_521}.{i % 1000:d6}] line\n"));
            }
        }

        string file = Path.Combine(recordings.EmptyFolder(), "dmesg.gz");
        File.WriteAllBytes(file, packed.ToArray()[..(int)(packed.Length / 2)]);
        ToolRun.Of("explain", file).ShouldBeRefused(file + ": ");
    }

    [Fact]
    public void Complaints_that_nobody_can_hear_do_not_end_the_verb()
    {
        using StringWriter output = new();
        using LostWriter lost = new();
        using ComplaintWriter complaints = new(lost);
        ToolApp.Run(["bot"], new ToolConsole(output, complaints)).Should().Be(2);
        ToolApp.Run(["boot", "--memory", "128M", "--show", "buddyinfo"], new ToolConsole(output, complaints)).Should().Be(0);
        output.ToString().Should().Contain("Node 0, zone");
        lost.Tries.Should().BeGreaterThan(1);
    }

    [Fact]
    public void A_trace_without_a_machine_shows_nothing_and_says_so()
    {
        string file = Path.Combine(recordings.EmptyFolder(), "trace.txt");
        File.WriteAllText(file, OneEvent);
        ToolRun.Of("top", file).ShouldBeRefused("--like names the captured one");
    }

    [Fact]
    public void A_decimal_mask_is_asked_about() => ToolRun.Of("explain", "--from", recordings.EmptyFolder(), "--gfp", "3264").ShouldBeRefused("0xcc0 if it was decimal");

    [Fact]
    public void Who_compares_nothing_is_told_so()
    {
        string file = Path.Combine(recordings.EmptyFolder(), "nothing.txt");
        File.WriteAllText(file, "# tracer: nop\n");
        ToolRun run = ToolRun.Of("replay", file);
        run.ExitCode.Should().Be(1);
        run.LastLine.Should().Be("nothing was compared: it holds no event of the page allocator or of slabs");
        ToolRun.Of("replay", file, "--json").Json().GetProperty("fell_short").GetBoolean().Should().BeTrue();

        File.WriteAllText(file, OneEvent);
        ToolRun.Of("replay", file).LastLine.Should().Be("nothing was compared: no operation in it has a result that could be");
    }

    [Fact]
    public void A_trace_comes_through_a_pipe()
    {
        ToolRun piped = Piped(OneEvent, "replay", "-");
        piped.Out.Should().StartWith("(standard input) (trace): 1 operations");
        piped.ExitCode.Should().Be(1, "one event predicts nothing");

        Piped("mm_page_alloc: page=1\n", "replay", "-").ShouldBeRefused("(standard input)(1): ");
    }

    [Fact]
    public void A_scenario_comes_through_a_pipe()
    {
        const string Scenario = """{ "machine": { "memory": "128M" }, "processes": [ { "name": "p", "steps": [ { "touch": "heap" } ] } ] }""";
        ToolRun run = Piped(Scenario, "scenario", "-");
        run.Error.Should().StartWith("(standard input)(1): ").And.NotContain(Path.GetTempPath());
        run.ExitCode.Should().Be(2);
    }

    [Theory]
    [InlineData("rpelay x", "did you mean replay instead of rpelay?")]
    [InlineData("scenarios", "did you mean scenario instead of scenarios?")]
    [InlineData("replay --kernl 7 x", "did you mean --kernel instead of --kernl?")]
    [InlineData("boot --memry 1G", "did you mean --memory instead of --memry?")]
    [InlineData("boot --quite", "did you mean --quiet instead of --quite?")]
    public void What_was_nearly_right_is_recognised(string line, string answer) => ToolRun.Of(line.Split(' ')).ShouldBeRefused(answer);

    [Theory]
    [InlineData("boot --cpus many", "memsim: --cpus: 'many' is not a number")]
    [InlineData("scenario memory-hog --seed x", "memsim: --seed: 'x' is not a number")]
    public void What_is_no_number_is_said_without_names_of_types(string line, string answer)
    {
        ToolRun run = ToolRun.Of(line.Split(' '));
        run.ShouldBeRefused(answer);
        run.Error.Should().NotContain("System.");
    }

    [Fact]
    public void A_mistyped_verb_is_not_a_missing_one()
    {
        ToolRun.Of("frobnicate").Error.Should().Contain("'frobnicate'").And.NotContain("Required command");
        ToolRun.Of().Error.Should().Contain("Required command");
    }

    [Fact]
    public void A_trace_without_events_is_nothing_to_count()
    {
        string file = Path.Combine(recordings.EmptyFolder(), "empty.txt");
        File.WriteAllText(file, "# tracer: nop\n");
        ToolRun.Of("stat", file).ShouldBeRefused("no event of the page allocator or of slabs is in it");
    }

    [Theory]
    [InlineData("weather")]
    [InlineData("boot --colour")]
    public void What_is_like_nothing_gets_no_guess(string line) => ToolRun.Of(line.Split(' ')).Error.Should().NotContain("did you mean");

    [Theory]
    [InlineData("x86_64", "64M")]
    [InlineData("x86_64", "1M")]
    [InlineData("arm64", "8M")]
    [InlineData("x86_32", "4M")]
    public void A_machine_that_is_too_small_says_what_would_do(string arch, string memory)
    {
        ToolRun run = ToolRun.Of("boot", "--arch", arch, "--memory", memory);
        run.ExitCode.Should().Be(2);
        string least = run.Error.TrimEnd().Split("the least memory that boots is ")[1];
        ToolRun.Of("boot", "--arch", arch, "--memory", least).ExitCode.Should().Be(0);
        int below = int.Parse(least.AsSpan(0, least.Length - 1), System.Globalization.CultureInfo.InvariantCulture) - 1;
        ToolRun.Of("boot", "--arch", arch, "--memory", $"{below}M").ExitCode.Should().Be(2);
    }

    [Fact]
    public void Every_verb_has_examples_that_can_be_typed()
    {
        string[] verbs = [.. ToolRun.Of("--help").Out.Split("Commands:")[1].Split("Examples:")[0].Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Trim().Split(' ')[0]).Where(verb => verb.Length != 0)];
        Examples.ByVerb.Keys.Where(verb => verb.Length != 0).Should().BeEquivalentTo(verbs);
        foreach ((string verb, IReadOnlyList<string> examples) in Examples.ByVerb)
        {
            ToolRun help = verb.Length == 0 ? ToolRun.Of("--help") : ToolRun.Of(verb, "--help");
            foreach (string example in examples)
            {
                help.Out.Should().Contain(example);
                string line = example.Split("| memsim ")[^1].Split(" > ")[0];
                ToolApp.Parse(line.Split(' '), new ToolConsole(TextWriter.Null, TextWriter.Null)).Errors.Should().BeEmpty(example);
                (verb.Length == 0 || line.Split(' ')[0] == verb).Should().BeTrue(example);
            }
        }
    }

    [Theory]
    [InlineData("bash", "complete -o default -F _memsim memsim")]
    [InlineData("zsh", "#compdef memsim")]
    [InlineData("fish", "complete -c memsim")]
    [InlineData("pwsh", "Register-ArgumentCompleter")]
    public void Shells_learn_to_complete(string shell, string line) => ToolRun.Of("completion", shell).Out.Should().Contain(line);

    [Theory]
    [InlineData("memsim rep", "replay")]
    [InlineData("memsim replay --ker", "--kernel")]
    [InlineData("memsim boot --arch x86", "x86_32-pae")]
    [InlineData("memsim boot --show bud", "buddyinfo")]
    [InlineData("memsim scenario fi", "file-server")]
    [InlineData("memsim completion f", "fish")]
    public void The_tool_completes_what_is_typed(string typed, string completed) => ToolRun.Of($"[suggest:{typed.Length}]", typed).Out.Split('\n').Should().Contain(completed);

    [Theory]
    [InlineData(40)]
    [InlineData(60)]
    [InlineData(80)]
    [InlineData(160)]
    public void Tables_fit_the_terminal_and_no_number_is_cut(int width)
    {
        using StringWriter output = new() { NewLine = "\n" };
        ToolConsole console = new(output, TextWriter.Null) { OutputIsTerminal = true, Width = width };
        string[] numbers = ["123456789", "987654321", "55555"];
        console.WriteTable(["recording of a machine", "number of operations", "operations a second", "of"], [["a name with words that say much", .. numbers], ["x", "1", "2", "3"]]);
        string text = output.ToString();
        text.Should().ContainAll(numbers);
        text.Split('\n').Max(line => line.Length).Should().BeLessThanOrEqualTo(width);
        text.Contains('─', StringComparison.Ordinal).Should().Be(width == 160, "a frame is drawn where there is room");
    }

    [Fact]
    public void A_scenario_fits_a_terminal_of_80_columns_and_says_the_same()
    {
        using StringWriter output = new() { NewLine = "\n" };
        ToolApp.Run(["scenario", "fork-server"], new ToolConsole(output, TextWriter.Null) { OutputIsTerminal = true, Width = 80 }).Should().Be(ExitCode.Done);
        string narrow = output.ToString();
        string wide = ToolRun.Of("scenario", "fork-server").Out;

        string[] figures = [.. narrow.Split('\n').SkipWhile(line => !line.StartsWith("== ", StringComparison.Ordinal)).Skip(2)];
        figures.Max(line => line.Length).Should().BeLessThanOrEqualTo(80);
        figures.Count(line => line.StartsWith("phase ", StringComparison.Ordinal)).Should().Be(2, "the table of samples comes in two parts");
        string[] words = wide.Split([' ', '\n'], StringSplitOptions.RemoveEmptyEntries);
        narrow.Split([' ', '\n'], StringSplitOptions.RemoveEmptyEntries).Distinct().Should().BeEquivalentTo(words.Distinct());
    }

    private static ToolRun Piped(string input, params string[] args)
    {
        using StringWriter output = new() { NewLine = "\n" };
        using StringWriter error = new() { NewLine = "\n" };
        int exitCode = ToolApp.Run(args, new ToolConsole(output, error) { OpenInput = () => new MemoryStream(Encoding.UTF8.GetBytes(input)) });
        return new ToolRun(exitCode, output.ToString(), error.ToString());
    }

    /// <summary>A full disk.</summary>
    private sealed class LostWriter : StringWriter
    {
        public int Tries { get; private set; }

        public override void Write(char value) => throw Lost();

        public override void Write(string? value) => throw Lost();

        public override void Write(char[] buffer, int index, int count) => throw Lost();

        private IOException Lost()
        {
            Tries++;
            return new IOException("No space left on device");
        }
    }
}
