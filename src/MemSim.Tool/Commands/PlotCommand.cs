using System.CommandLine;
using System.Text;
using MemSim.Kernels;
using MemSim.Tool.Plots;

namespace MemSim.Tool.Commands;

/// <summary><c>memsim plot</c>: runs a small machine short of memory and draws what happened.</summary>
internal static class PlotCommand
{
    public static Command Create(ToolConsole console)
    {
        var what = new Argument<string>("WHAT") { Description = "watermarks: free memory against min, low and high; reclaim: that and the LRU lists, over a longer run." };
        var output = new Option<string>("--out") { Description = "The SVG file to write.", HelpName = "FILE", Required = true };
        Option<string?> kernel = SharedOptions.Kernel();
        var command = new Command("plot", "Runs a small machine short of memory and draws free memory, watermarks, kswapd and the LRU lists.") { what, output, kernel };
        command.SetAction(parsed =>
        {
            string file = parsed.GetValue(output)!;
            if (!file.EndsWith(".svg", StringComparison.OrdinalIgnoreCase))
            {
                throw new BadInputException($"--out: {file} does not end in .svg");
            }

            KernelChoice? rules = SharedOptions.ToKernel(parsed.GetValue(kernel));
            (Func<KernelChoice?, PressureRun> run, Func<PressureRun, string> draw) = parsed.GetValue(what) switch
            {
                "watermarks" => ((Func<KernelChoice?, PressureRun>)PressureRun.Watermarks, (Func<PressureRun, string>)PressurePlot.Watermarks),
                "reclaim" => (PressureRun.Reclaim, PressurePlot.Reclaim),
                var other => throw new BadInputException($"memsim plot: there is no '{other}', only watermarks and reclaim"),
            };
            using PressureRun done = run(rules);
            string svg = draw(done);
            File.WriteAllText(file, svg, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
            SharedOptions.WriteRules(console.Out, done.Machine.Personality.ToString(), done.Machine.Warnings);
            console.Out.WriteLine($"{file}: kswapd woke {Count(done, PressureMarkKind.KswapdWakes)} times, {Count(done, PressureMarkKind.DirectReclaim)} requests reclaimed for themselves");
            return ExitCode.Done;
        });
        return command;
    }

    private static int Count(PressureRun run, PressureMarkKind kind) => run.Marks.Count(m => m.Kind == kind);
}
