using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace MemSim.Tool.CommandLine;

/// <summary>What <c>--help</c> shows below the options: calls that people make.</summary>
internal static class Examples
{
    /// <summary>Examples by verb, <c>memsim</c> left out; the empty verb is the tool itself.</summary>
    public static IReadOnlyDictionary<string, IReadOnlyList<string>> ByVerb { get; } = new Dictionary<string, IReadOnlyList<string>>(StringComparer.Ordinal)
    {
        [""] = ["run --quick", "explain kern.log", "boot --memory 512M --show zoneinfo --quiet"],
        ["run"] = ["run", "run --picture blocks.svg"],
        ["boot"] = ["boot --memory 512M --cpus 2 --show buddyinfo,zoneinfo", "boot --kernel 7.3 --set vm.min_free_kbytes=16384 --show zoneinfo --quiet", "boot --from /proc --show zoneinfo"],
        ["twin"] = ["twin /proc", "twin captures/machine --all"],
        ["replay"] = ["replay trace.txt.gz --like captures/machine", "perf script | memsim replay -", "replay recordings/hogswap --workload --kernel 6.18"],

        ["stat"] = ["stat trace.txt.gz --caller --sort live", "perf script | memsim stat - --sort frag --lines 10"],
        ["scenario"] = ["scenario", "scenario file-server --seed 7", "scenario my.json --json"],
        ["explain"] = ["explain kern.log", "dmesg | memsim explain -", "explain --from /proc --gfp GFP_ATOMIC --order 4"],
        ["plot"] = ["plot reclaim --out reclaim.svg", "plot file-server --out server.png", "plot trace.txt.gz --like captures/machine --out trace.svg"],
        ["top"] = ["top memory-hog", "top recordings/hogswap --every 500 --delay 200"],
        ["view"] = ["view", "view oom.log"],
        ["completion"] = ["completion bash > ~/.local/share/bash-completion/completions/memsim", "completion zsh > ~/.zfunc/_memsim", "completion fish > ~/.config/fish/completions/memsim.fish"],
    };

    /// <summary>Lets <c>--help</c> of every command end with its examples.</summary>
    public static void AddTo(RootCommand root)
    {
        // The option of the root is that of all commands.
        HelpOption help = root.Options.OfType<HelpOption>().Single();
        help.Action = new HelpWithExamples((SynchronousCommandLineAction)help.Action!, root);
    }

    private sealed class HelpWithExamples(SynchronousCommandLineAction help, RootCommand root) : SynchronousCommandLineAction
    {
        // Who asks for help need not give what the verb requires.
        public override bool ClearsParseErrors => true;

        public override int Invoke(ParseResult parseResult)
        {
            int result = help.Invoke(parseResult);
            Command command = parseResult.CommandResult.Command;
            TextWriter output = parseResult.InvocationConfiguration.Output;
            if (ByVerb.TryGetValue(command == root ? "" : command.Name, out IReadOnlyList<string>? examples))
            {
                output.WriteLine("Examples:");
                foreach (string example in examples)
                {
                    output.WriteLine(example.Contains("memsim", StringComparison.Ordinal) && example.Contains('|', StringComparison.Ordinal) ? $"  {example}" : $"  memsim {example}");
                }

                output.WriteLine();
            }

            return result;
        }
    }
}
