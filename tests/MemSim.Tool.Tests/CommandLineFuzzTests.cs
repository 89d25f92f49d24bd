using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using FluentAssertions;
using Xunit;

namespace MemSim.Tool.Tests;

/// <summary>
/// Whatever the arguments, the tool does what they say or refuses them with a word and a documented exit code. <c>MEMSIM_FUZZ_SECONDS</c> makes it a long run,
/// <c>MEMSIM_FUZZ_SEED</c> another one, <c>MEMSIM_FUZZ_INPUT</c> repeats one input.
/// </summary>
public sealed class CommandLineFuzzTests : IDisposable
{
    private const int Inputs = 400;

    // These go on until somebody ends them, or take seconds each: their arguments are parsed, not carried out.
    private static readonly string[] OnlyParsed = ["top", "view", "run", "scenario", "plot"];

    private static readonly string[] Verbs = ["run", "boot", "boot", "boot", "twin", "replay", "stat", "scenario", "explain", "explain", "plot", "top", "view", "completion", "bot", "", "help"];

    private static readonly string[] Words =
    [
        "", "0", "1", "-1", "4", "64M", "512M", "1.5G", "0x1000", "40%", "99999999999999999999G", "2147483648", "-9223372036854775808", "NaN", "1e308", "x", "\0", "é\u2028", "\uD800", "--", "---", "-", "=", ",", "a,b",
        "x86_64", "x86_32", "x86_32-pae", "arm64", "riscv", "6.1", "7.3", "2.6.32", "99.99", "6.1.0-44-amd64", "buddyinfo", "zoneinfo,meminfo", "pagetypeinfo", "vmstat", "nothing", "GFP_KERNEL", "GFP_ATOMIC|__GFP_COMP",
        "0xcc0", "vm.min_free_kbytes=4096", "vm.swappiness=x", "vm.=", "=5", "kernel.x=1", "mem=100M", "mem=1K", "movablecore=50% cma=16M", "hugepages=99999999", "numa=fake=9", "slub_debug=FZPU", "memmap=4M$0x1000",
        "init_on_alloc=1 fail_page_alloc=1,100,0,-1", "bash", "zsh", "fish", "tcsh", "bytes", "hits", "@file", "%s", "$(x)", "*", "~", ".", "..", "/", "/nonexistent/x",
    ];

    private static readonly string[] Endings = [".svg", ".png", ".txt", ""];

    private readonly string _folder = Directory.CreateTempSubdirectory("memsim-args-").FullName;

    [Fact]
    public void Any_arguments_are_carried_out_or_refused_with_a_word()
    {
        int seed = Setting("MEMSIM_FUZZ_SEED") ?? 1;
        int? only = Setting("MEMSIM_FUZZ_INPUT");
        int? seconds = Setting("MEMSIM_FUZZ_SECONDS");
        string[] files = MakeFiles();
        Dictionary<int, int> codes = [];
        Dictionary<string, string> faults = new(StringComparer.Ordinal);
        Stopwatch clock = Stopwatch.StartNew();
        int input = only ?? 0;
        for (; only is { } one ? input == one : seconds is { } most ? clock.Elapsed.TotalSeconds < most : input < Inputs; input++)
        {
            string[] args = Arguments(new Random(unchecked((seed * 1_000_003) + input)), files);
            string? fault = null;
            try
            {
                ToolRun run = Run(args);
                codes[run.ExitCode] = codes.GetValueOrDefault(run.ExitCode) + 1;
                fault = run.ExitCode is not (ExitCode.Done or ExitCode.FellShort or ExitCode.BadInput) ? $"exit code {run.ExitCode}: {run.Error}"
                    : run.ExitCode == ExitCode.BadInput && run.Error.Trim().Length == 0 ? "refused without a word"
                    : run.Error.Contains("   at MemSim", StringComparison.Ordinal) ? run.Error : null;
            }
            catch (Exception e)
            {
                fault = e.ToString();
            }

            if (fault is not null)
            {
                string kind = string.Join('\n', fault.Split('\n').Where(line => line.Contains("   at MemSim", StringComparison.Ordinal)).Take(3));
                faults.TryAdd(kind.Length == 0 ? fault : kind, $"seed {seed}, input {input}: memsim {string.Join(' ', args.Select(Quote))}\n{fault}");
            }
        }

        TestContext.Current.TestOutputHelper?.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"command lines, seed {seed}: {input} inputs, {string.Join(", ", codes.OrderBy(c => c.Key).Select(c => $"{c.Value} with exit code {c.Key}"))}, {faults.Count} kinds of fault, {clock.Elapsed.TotalSeconds:F1} s"));
        Assert.True(faults.Count == 0, string.Join('\n', faults.Values));
        if (only is null)
        {
            codes.Keys.Should().Contain([ExitCode.Done, ExitCode.BadInput]);
        }
    }

    [Theory]
    [InlineData("stat", "")]
    [InlineData("stat", "a\0b")]
    [InlineData("boot", "--from", "a\0b")]
    public void What_it_found_is_refused_now(params string[] args) => ToolRun.Of(args).ShouldBeRefused(args[^1].Length == 0 ? "the name of a file is missing" : "NUL character");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static int? Setting(string name) => int.TryParse(Environment.GetEnvironmentVariable(name), NumberStyles.None, CultureInfo.InvariantCulture, out int value) ? value : null;

    private static string Quote(string arg) => $"'{arg.Replace("\0", "\\0", StringComparison.Ordinal)}'";

    private static ToolRun Run(string[] args)
    {
        using StringWriter sink = new();
        ToolConsole console = new(sink, sink);
        ParseResult parsed = ToolApp.Parse(args, console);
        bool runs = parsed.Errors.Count != 0 || !OnlyParsed.Contains(parsed.CommandResult.Command.Name, StringComparer.Ordinal) || args.Contains("--help");
        return runs ? ToolRun.Of(args) : new ToolRun(ExitCode.Done, "", "");
    }

    private string[] Arguments(Random random, string[] files)
    {
        List<string> args = [];
        string verb = Verbs[random.Next(Verbs.Length)];
        if (verb.Length != 0)
        {
            args.Add(verb);
        }

        using StringWriter sink = new();
        Command command = ToolApp.Parse([verb], new ToolConsole(sink, sink)).CommandResult.Command;
        for (int i = random.Next(6); i > 0; i--)
        {
            switch (random.Next(8))
            {
                case < 5 when command.Options.Count != 0:
                    Option option = command.Options[random.Next(command.Options.Count)];
                    args.Add(option.Name);
                    if (option.ValueType != typeof(bool) && random.Next(10) != 0)
                    {
                        args.Add(ValueOf(random, option.Name, files));
                    }

                    break;
                case < 7:
                    args.Add(Word(random, files));
                    break;
                default:
                    args.Add("--" + Word(random, files).Replace(" ", "", StringComparison.Ordinal));
                    break;
            }
        }

        if (args.Count != 0 && random.Next(10) == 0)
        {
            args[random.Next(args.Count)] = Damaged(random, args[random.Next(args.Count)]);
        }

        // Nothing is read from the terminal that the tests run on.
        return [.. args.Select(arg => arg == "-" ? "-x" : arg)];
    }

    private string ValueOf(Random random, string option, string[] files) => option switch
    {
        "--out" or "--svg" or "--png" or "--picture" => Path.Combine(_folder, $"out{random.Next(4)}{Endings[random.Next(Endings.Length)]}"),
        _ => Word(random, files),
    };

    private static string Word(Random random, string[] files) => random.Next(4) == 0 ? files[random.Next(files.Length)] : Words[random.Next(Words.Length)];

    private static string Damaged(Random random, string text)
    {
        StringBuilder damaged = new(text);
        for (int i = 1 + random.Next(3); i > 0; i--)
        {
            int at = random.Next(damaged.Length + 1);
            if (at < damaged.Length && random.Next(2) == 0)
            {
                damaged.Remove(at, 1);
            }
            else
            {
                damaged.Insert(at, (char)random.Next(1, 0x250));
            }
        }

        return damaged.ToString();
    }

    private string[] MakeFiles()
    {
        string Make(string name, string text)
        {
            string path = Path.Combine(_folder, name);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllText(path, text);
            return path;
        }

        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithoutContents());
        string zoneinfo = machine.Proc.ZoneInfo;
        string captured = Path.GetDirectoryName(Make(Path.Combine("captured", "zoneinfo"), zoneinfo))!;
        _ = Make(Path.Combine("captured", "buddyinfo"), machine.Proc.BuddyInfo);
        string broken = Path.GetDirectoryName(Make(Path.Combine("broken", "zoneinfo"), zoneinfo[..(zoneinfo.Length / 2)]))!;
        string empty = Directory.CreateDirectory(Path.Combine(_folder, "empty")).FullName;
        return
        [
            captured, broken, empty,
            Make("empty.txt", ""),
            Make("noise.txt", "\u0001\u0002 nothing of use\n\n"),
            Make("log.txt", "[    1.0] stress: page allocation failure: order:4, mode:0x40cc0(GFP_KERNEL|__GFP_COMP), nodemask=(null)\nNode 0 Normal free:100kB\n"),
            Make("packed.gz", "no gzip"),
            Make("scenario.json", "{\"memory\":\"64M\",\"steps\":[]}"),
            Make("trace.txt", "# tracer: nop\n  a-1 [000] .... 1.0: mm_page_alloc: page=0x1 pfn=0x1 order=0 migratetype=0 gfp_flags=GFP_KERNEL\n"),
        ];
    }
}
