using System.CommandLine;
using System.Reflection;
using MemSim.Kernels;
using MemSim.Scenarios;
using MemSim.Tool.CommandLine;
using MemSim.Tool.Json;
using MemSim.Tool.Recordings;

namespace MemSim.Tool.Commands;

/// <summary><c>memsim scenario</c>: runs processes with access patterns on a simulated machine and says what the kernel had to do.</summary>
internal static class ScenarioCommand
{
    private const string Prefix = "data/scenarios/";
    private const string Suffix = ".json";

    public static Command Create(ToolConsole console)
    {
        var what = new Argument<string?>("SCENARIO") { Description = $"A file of JSON (- for standard input), or one of {string.Join(", ", Names())}; without it, these are listed.", Arity = ArgumentArity.ZeroOrOne };
        what.CompletionSources.Add([.. Names()]);
        var seed = new Option<ulong?>("--seed") { Description = "What random numbers come from, in place of the file's.", HelpName = "N" };
        Option<string?> kernel = SharedOptions.Kernel();
        Option<bool> json = SharedOptions.Json();
        var command = new Command("scenario", "Runs processes with access patterns on a simulated machine: faults, TLB misses, memory, reclaim, swap and OOM kills over time.") { what, seed, kernel, json };
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(what) is not { } name)
            {
                List(console, parsed.GetValue(json));
                return ExitCode.Done;
            }

            ScenarioFile file = Load(name, console);
            KernelChoice rules = SharedOptions.ToKernel(parsed.GetValue(kernel)) ?? KernelChoice.Of(KernelLines.Linux6_1);
            ScenarioReport report = Run(console, file, rules, parsed.GetValue(seed), quiet: parsed.GetValue(json));
            if (parsed.GetValue(json))
            {
                console.WriteJson(new ScenarioDocument("scenario", name, file.Description, rules.Line.ToString(), rules.Warnings, report), ToolJsonContext.Default.ScenarioDocument);
            }
            else
            {
                Write(console, name, file, rules, report);
            }

            return ExitCode.Done;
        });
        return command;
    }

    /// <summary>The scenarios inside the tool.</summary>
    public static IEnumerable<string> Names() => Assembly.GetExecutingAssembly().GetManifestResourceNames()
        .Where(n => n.StartsWith(Prefix, StringComparison.Ordinal) && n.EndsWith(Suffix, StringComparison.Ordinal))
        .Select(n => n[Prefix.Length..^Suffix.Length])
        .Order(StringComparer.Ordinal);

    private static void List(ToolConsole console, bool json)
    {
        if (json)
        {
            console.WriteJson(new ScenarioListDocument("scenario", [.. Names().Select(n => new ScenarioNameDocument(n, Load(n, console).Description))]), ToolJsonContext.Default.ScenarioListDocument);
            return;
        }

        foreach (string name in Names())
        {
            console.Out.WriteLine($"{name,-14} {Load(name, console).Description}");
        }
    }

    /// <summary>Reads a scenario.</summary>
    /// <param name="name">One inside the tool, a file, or <c>-</c>.</param>
    /// <param name="console">Where standard input is.</param>
    public static ScenarioFile Load(string name, ToolConsole console)
    {
        if (StandardInput.IsMeant(name))
        {
            return StandardInput.Spool(console.OpenInput(), ScenarioFile.Read);
        }

        if (Names().Contains(name, StringComparer.Ordinal))
        {
            using Stream resource = Assembly.GetExecutingAssembly().GetManifestResourceStream(Prefix + name + Suffix)!;
            using var bytes = new MemoryStream();
            resource.CopyTo(bytes);
            return ScenarioFile.Parse(bytes.ToArray(), name);
        }

        if (!File.Exists(name) && !name.Contains('.', StringComparison.Ordinal) && !name.Contains(Path.DirectorySeparatorChar, StringComparison.Ordinal))
        {
            throw new BadInputException($"{name}: neither a file nor one of {string.Join(", ", Names())}");
        }

        return ScenarioFile.Read(name);
    }

    /// <summary>Whether something is the name of a scenario inside the tool, or a file of one.</summary>
    public static bool IsScenario(string name) => Names().Contains(name, StringComparer.Ordinal) || name.EndsWith(Suffix, StringComparison.OrdinalIgnoreCase);

    /// <summary>Runs a scenario on a machine of its own.</summary>
    public static ScenarioReport Run(ToolConsole console, ScenarioFile file, KernelChoice kernel, ulong? seed, bool quiet, IReplayWatcher? watcher = null)
    {
        using Machine machine = file.Boot(kernel);
        Scenario scenario = file.On(machine);
        if (seed is { } wanted)
        {
            scenario.Seed(wanted);
        }

        try
        {
            watcher?.Before(machine);
            ScenarioReport report = console.WithProgress(Path.GetFileName(file.Path), scenario.PlannedTouches(), quiet, progress => scenario.Run(new WatchedProgress(progress, touches => watcher?.During(machine, touches))));
            watcher?.After(machine);
            return report;
        }
        catch (Exception e) when (e is InvalidOperationException || e is KernelBugException { Kind: KernelBugKind.Panic })
        {
            // A scenario may ask for more than its machine can give: that is for its author to change.
            throw new BadInputException($"{file.Path}: the scenario cannot be run to its end: {e.Message.Split('\n')[0].TrimEnd('\r')}", e);
        }
    }

    private static void Write(ToolConsole console, string name, ScenarioFile file, KernelChoice kernel, ScenarioReport report)
    {
        console.Out.WriteLine($"== {name}, seed {report.Seed}");
        if (file.Description.Length != 0)
        {
            console.Out.WriteLine(file.Description);
        }

        SharedOptions.WriteRules(console.Out, kernel.Line.ToString(), kernel.Warnings);
        console.Out.WriteLine();
        console.Out.Write(console.OutputIsTerminal ? report.ToText(Math.Max(console.Width, 80)) : report.ToText());
        foreach (string text in report.OomReports)
        {
            // The last line says who; the whole report is in --json.
            console.Out.WriteLine();
            console.Out.WriteLine(text.TrimEnd('\n').Split('\n')[^1]);
        }
    }
}
