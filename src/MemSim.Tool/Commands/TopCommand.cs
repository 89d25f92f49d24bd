using System.CommandLine;
using MemSim.Kernels;
using MemSim.Tool.CommandLine;
using MemSim.Tool.Json;
using MemSim.Tool.Recordings;
using MemSim.Tool.Watching;

namespace MemSim.Tool.Commands;

/// <summary><c>memsim top</c>: shows a machine while a scenario runs or a recording is replayed on it.</summary>
internal static class TopCommand
{
    private const int UsualEvery = 2048;
    private const int UsualDelayMs = 100;
    private const int LongestDelayMs = 60_000;

    public static Command Create(ToolConsole console)
    {
        var what = new Argument<string>("WHAT") { Description = "A scenario (its name or file), a recording's folder or the text of a trace; - for a trace on standard input." };
        var every = new Option<int>("--every") { Description = $"Lines of the recording, or pages touched by the scenario, from one picture to the next; {UsualEvery} where not given.", HelpName = "N", DefaultValueFactory = _ => UsualEvery };
        var delay = new Option<int>("--delay") { Description = $"How long a picture stands on a terminal, in milliseconds; {UsualDelayMs} where not given.", HelpName = "MS", DefaultValueFactory = _ => UsualDelayMs };
        var like = new Option<string?>("--like") { Description = "For the text of a trace: the captured machine it was recorded on.", HelpName = "DIR" };
        Option<string?> kernel = SharedOptions.Kernel();
        Option<bool> json = SharedOptions.Json();
        what.CompletionSources.Add([.. ScenarioCommand.Names()]);
        var command = new Command("top", "Shows a machine while a scenario runs or a recording is replayed on it: memory, events, zones, processes.") { what, every, delay, like, kernel, json };
        command.SetAction(parsed =>
        {
            bool asJson = parsed.GetValue(json);
            int operations = parsed.GetValue(every);
            int milliseconds = parsed.GetValue(delay);
            if (operations <= 0)
            {
                throw new BadInputException($"--every: {operations} is no distance between pictures");
            }

            if (milliseconds is < 0 or > LongestDelayMs)
            {
                throw new BadInputException($"--delay: {milliseconds} is not between 0 and {LongestDelayMs} milliseconds");
            }

            string name = parsed.GetValue(what)!;
            string shown = StandardInput.IsMeant(name) ? StandardInput.Name : Path.GetFileName(Path.TrimEndingDirectorySeparator(name));
            TopView view = new(console, shown, operations, TimeSpan.FromMilliseconds(milliseconds), asJson);
            string Run(string path) => Watch(console, path, parsed.GetValue(like), SharedOptions.ToKernel(parsed.GetValue(kernel)), view);
            string rules = StandardInput.IsMeant(name) ? StandardInput.Spool(console.OpenInput(), Run) : Run(name);
            if (asJson)
            {
                console.WriteJson(new TopDocument("top", shown, rules, view.Frames), ToolJsonContext.Default.TopDocument);
            }

            return ExitCode.Done;
        });
        return command;
    }

    /// <summary>Runs it with somebody watching, and no progress beside that; returns whose rules were followed.</summary>
    private static string Watch(ToolConsole console, string what, string? like, KernelChoice? kernel, TopView view)
    {
        if (like is null && ScenarioCommand.IsScenario(what))
        {
            KernelChoice rules = kernel ?? KernelChoice.Of(KernelLines.Linux6_1);
            _ = ScenarioCommand.Run(console, ScenarioCommand.Load(what, console), rules, seed: null, quiet: true, view);
            return rules.Line.ToString();
        }

        if (!File.Exists(what) && !Directory.Exists(what))
        {
            throw new BadInputException($"memsim top: there is no '{what}': neither one of {string.Join(", ", ScenarioCommand.Names())} nor a file nor a recording");
        }

        string followed = RecordingReplayer.ReplayOne(console, what, like, kernel, quiet: true, view).Kernel;
        return view.SawMachine ? followed : throw new BadInputException($"{what}: a recording without a machine to show{(like is null ? " (--like names the captured one it was made on)" : "")}");
    }
}
