using System.CommandLine;
using MemSim.Kernels;
using MemSim.Scenarios;
using MemSim.Tool.CommandLine;
using MemSim.Tool.Json;
using MemSim.Tool.Plots;
using MemSim.Tool.Recordings;

namespace MemSim.Tool.Commands;

/// <summary><c>memsim plot</c>: draws a run short of memory, a scenario, or what a recording does to a machine.</summary>
internal static class PlotCommand
{
    /// <summary>Operations between two samples of a recording.</summary>
    private const int SampleEvery = 64;

    private static readonly Dictionary<string, (Func<KernelChoice?, PressureRun> Run, Func<PressureRun, Plot> Draw)> Pressure = new(StringComparer.Ordinal)
    {
        ["watermarks"] = (PressureRun.Watermarks, PressurePlot.Watermarks),
        ["reclaim"] = (PressureRun.Reclaim, PressurePlot.Reclaim),
    };

    public static Command Create(ToolConsole console)
    {
        var what = new Argument<string>("WHAT") { Description = "watermarks (free memory against min, low and high), reclaim (that and the LRU lists, over a longer run), a scenario (its name or file), a recording's folder or the text of a trace; - for a trace on standard input." };
        var output = new Option<string?>("--out", "-o") { Description = "The picture to write, .svg or .png.", HelpName = "FILE" };
        var like = new Option<string?>("--like") { Description = "For the text of a trace: the captured machine it was recorded on.", HelpName = "DIR" };
        Option<string?> kernel = SharedOptions.Kernel();
        Option<bool> json = SharedOptions.Json();
        what.CompletionSources.Add([.. Pressure.Keys, .. ScenarioCommand.Names()]);
        var command = new Command("plot", "Draws free memory over a run short of memory, a scenario or a recording.") { what, output, like, kernel, json };
        command.SetAction(parsed =>
        {
            string? file = parsed.GetValue(output);
            bool asJson = parsed.GetValue(json);
            if (file is null && !asJson)
            {
                throw new BadInputException("memsim plot: --out names the picture to write (or --json prints the figures)");
            }

            if (file is not null && !PlotDrawing.CanDraw(file))
            {
                throw new BadInputException($"--out: {file} ends neither in .svg nor in .png");
            }

            string name = parsed.GetValue(what)!;
            PlotDocument Make(string path) => Of(console, path, parsed.GetValue(like), SharedOptions.ToKernel(parsed.GetValue(kernel)), asJson) with { Picture = file };
            PlotDocument document = StandardInput.IsMeant(name) ? StandardInput.Spool(console.OpenInput(), Make) : Make(name);
            if (file is not null)
            {
                PlotDrawing.Write(file, document.Plot);
            }

            if (asJson)
            {
                console.WriteJson(document, ToolJsonContext.Default.PlotDocument);
                return ExitCode.Done;
            }

            SharedOptions.WriteRules(console.Out, document.Kernel, document.Warnings);
            console.Out.WriteLine($"{file}: {document.Summary}");
            return ExitCode.Done;
        });
        return command;
    }

    private static PlotDocument Of(ToolConsole console, string what, string? like, KernelChoice? kernel, bool quiet)
    {
        if (like is null && Pressure.TryGetValue(what, out (Func<KernelChoice?, PressureRun> Run, Func<PressureRun, Plot> Draw) pressure))
        {
            using PressureRun run = pressure.Run(kernel);
            int Count(PressureMarkKind kind) => run.Marks.Count(m => m.Kind == kind);
            return new PlotDocument(
                "plot", what, run.Machine.Personality.ToString(), run.Machine.Warnings, $"kswapd woke {Count(PressureMarkKind.KswapdWakes)} times, {Count(PressureMarkKind.DirectReclaim)} requests reclaimed for themselves", null, pressure.Draw(run));
        }

        if (like is null && ScenarioCommand.IsScenario(what))
        {
            KernelChoice rules = kernel ?? KernelChoice.Of(KernelLines.Linux6_1);
            ScenarioReport report = ScenarioCommand.Run(console, ScenarioCommand.Load(what, console), rules, seed: null, quiet);
            Plot plot = ScenarioPlot.Of(Path.GetFileNameWithoutExtension(what), report);
            return new PlotDocument("plot", what, rules.Line.ToString(), rules.Warnings, $"{report.Samples.Count} samples, {report.Last.Faults} faults, {report.Last.PagesReclaimed} pages reclaimed", null, plot);
        }

        if (!File.Exists(what) && !Directory.Exists(what))
        {
            throw new BadInputException($"memsim plot: there is no '{what}': neither {string.Join(", ", Pressure.Keys)} nor one of {string.Join(", ", ScenarioCommand.Names())} nor a recording");
        }

        RecordingPlot watcher = new(SampleEvery);
        RecordingOutcome outcome = RecordingReplayer.ReplayOne(console, what, like, kernel, quiet, watcher);
        return watcher.SawMachine
            ? new PlotDocument("plot", outcome.Name, outcome.Kernel, outcome.Warnings, $"{outcome.Operations} operations", null, watcher.ToPlot(outcome))
            : throw new BadInputException($"{what}: a recording without a machine to draw{(like is null ? " (--like names the captured one it was made on)" : "")}");
    }
}
