using System.Text;
using System.Text.RegularExpressions;
using FluentAssertions;
using Xunit;

namespace MemSim.Tool.Tests;

/// <summary>
/// What README and docs/tool.md show of the tool is what it prints: every command behind a <c>$</c> is run, and the lines below it compared. A line <c>...</c> stands for lines left out, at a line's end for its rest; how long
/// something took is not compared.
/// </summary>
public sealed partial class DocumentedOutputTests(RecordingsFixture recordings)
{
    public static TheoryData<string, string> Commands
    {
        get
        {
            TheoryData<string, string> data = [];
            foreach (string page in (string[])["README.md", "tool.md"])
            {
                foreach ((string command, _) in Shown(page))
                {
                    data.Add(page, command);
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Commands))]
    public void The_command_prints_what_the_page_shows(string page, string command)
    {
        string shown = Shown(page).Single(c => c.Command == command).Output;
        shown.Should().NotBeEmpty("a command stands there for what it prints");
        Dictionary<string, string> folders = new()
        {
            ["captures/amd64-256M-runtime"] = recordings.Twin,
            ["captures/zoneinfo-and-version"] = ZoneinfoAndVersion(),
            ["exact/512M-chain-1a"] = recordings.Run,
            ["exact/512M-gfp"] = Renamed(recordings.GfpFolder("512M-gfp"), "512M-gfp"),
            ["traces/amd64-256M-smp1-fork"] = recordings.Trace,
            ["docs/images/reclaim.svg"] = Path.Combine(recordings.EmptyFolder(), "reclaim.svg"),
        };

        string printed = Run(command, folders);
        foreach ((string name, string folder) in folders)
        {
            printed = printed.Replace(folder, name, StringComparison.Ordinal);
        }

        TestContext.Current.TestOutputHelper?.WriteLine(printed);
        bool isWhole = !shown.Contains("...", StringComparison.Ordinal);
        string[] parts = [.. ("\n" + shown + "\n").Split("\n...\n").Select(part => Comparable(part.Trim('\n'))).Where(part => part.Length != 0)];
        printed = Comparable(printed);
        if (isWhole)
        {
            printed.Should().Be(parts[0]);
            return;
        }

        int at = 0;
        foreach (string part in parts)
        {
            Match found = Regex.Match(printed[at..], "(?:^|\n)" + Regex.Escape(part).Replace(@"\ \.\.\.", "[^\n]*", StringComparison.Ordinal) + "(?=\n|$)", RegexOptions.None, TimeSpan.FromSeconds(5));
            found.Success.Should().BeTrue("{0} is shown to print: {1}", command, part);
            at += found.Index + found.Length;
        }
    }

    [Theory]
    [InlineData("README.md", 1)]
    [InlineData("tool.md", 9)]
    public void There_are_commands_to_run(string page, int atLeast) => Shown(page).Should().HaveCountGreaterThanOrEqualTo(atLeast);

    /// <summary>Commands of README's overview that need nothing but the tool.</summary>
    [Fact]
    public void The_overview_names_commands_that_run()
    {
        string[] lines = [.. Regex.Matches(Text("README.md"), "^memsim ([^#\n]*)", RegexOptions.Multiline, TimeSpan.FromSeconds(1)).Select(m => m.Groups[1].Value.Trim())];
        lines.Should().HaveCountGreaterThan(5);
        foreach (string line in lines.Where(l => !l.Contains("DIR", StringComparison.Ordinal) && !l.Contains("TRACE", StringComparison.Ordinal) && !l.Contains("/proc", StringComparison.Ordinal) && l != "run"))
        {
            ToolRun run = ToolRun.Of([.. Words(line).Select(w => w.EndsWith(".svg", StringComparison.Ordinal) ? Path.Combine(recordings.EmptyFolder(), w) : w)]);
            run.ExitCode.Should().Be(0, $"{line}: {run.Error}");
        }
    }

    private static string Run(string command, Dictionary<string, string> folders)
    {
        const string Log = "dmesg | ";
        string[] words = [.. Words(command.Replace(Log, "", StringComparison.Ordinal)).Skip(1).Select(word => folders.GetValueOrDefault(word, word))];
        using StringWriter output = new() { NewLine = "\n" };
        using StringWriter error = new() { NewLine = "\n" };
        byte[] input = command.StartsWith(Log, StringComparison.Ordinal) ? File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Data", "order4.txt")) : [];
        int exitCode = ToolApp.Run(words, new ToolConsole(output, error) { OpenInput = () => new MemoryStream(input) });
        exitCode.Should().Be(output.ToString().Length == 0 && !command.Contains("--out", StringComparison.Ordinal) ? 2 : 0, error.ToString());
        string remarks = exitCode == 0 ? "" : error.ToString();
        return remarks.Replace("rules: Linux 6.1\n", "", StringComparison.Ordinal) + output;
    }

    private static List<(string Command, string Output)> Shown(string page) =>
        [.. Block().Matches(Text(page)).SelectMany(block => Regex.Split("\n" + block.Groups[1].Value, "\n\\$ ", RegexOptions.None, TimeSpan.FromSeconds(1)).Skip(1))
            .Select(text => text.Split('\n', 2)).Select(lines => (lines[0], lines.Length > 1 ? lines[1].TrimEnd('\n') : ""))];

    /// <summary>Without what differs from run to run (times, speeds) and without blanks at ends of lines.</summary>
    private static string Comparable(string text)
    {
        StringBuilder comparable = new();
        foreach (string line in text.Split('\n'))
        {
            string plain = Row().Replace(Speed().Replace(line, " in T s, N a second"), "$1");
            comparable.Append((plain == line ? line : Blanks().Replace(plain, " ")).TrimEnd()).Append('\n');
        }

        return comparable.ToString().Trim('\n');
    }

    private string ZoneinfoAndVersion()
    {
        string folder = Directory.CreateDirectory(Path.Combine(recordings.EmptyFolder(), "zoneinfo-and-version")).FullName;
        foreach (string file in (string[])["zoneinfo", "version"])
        {
            File.Copy(Path.Combine(recordings.Twin, file), Path.Combine(folder, file));
        }

        return folder;
    }

    private string Renamed(string folder, string name)
    {
        string renamed = Path.Combine(recordings.EmptyFolder(), name);
        Directory.Move(folder, renamed);
        return renamed;
    }

    private static string[] Words(string line) => [.. Word().Matches(line).Select(m => m.Value.Trim('"'))];

    private static string Text(string page) => File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Data", page)).ReplaceLineEndings("\n");

    [GeneratedRegex("^```\n((?:\\$ memsim |\\$ dmesg ).*?)^```$", RegexOptions.Singleline | RegexOptions.Multiline, 1000)]
    private static partial Regex Block();

    [GeneratedRegex(" in [0-9.]+ s, [0-9,]+ a second", RegexOptions.None, 1000)]
    private static partial Regex Speed();

    // A row of `memsim run`: the last two columns are seconds and operations a second.
    [GeneratedRegex("^(.*[0-9]+ +[0-9]+ +[0-9.]+ +[0-9]+) +[0-9]+\\.[0-9]{2} +[0-9]+$", RegexOptions.None, 1000)]
    private static partial Regex Row();

    [GeneratedRegex(" +", RegexOptions.None, 1000)]
    private static partial Regex Blanks();

    [GeneratedRegex("\"[^\"]*\"|[^ ]+", RegexOptions.None, 1000)]
    private static partial Regex Word();
}
