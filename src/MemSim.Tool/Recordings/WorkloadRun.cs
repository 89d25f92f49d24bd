using System.Globalization;
using MemSim.Kernels;
using MemSim.Recordings;
using MemSim.Tool.Commands;
using MemSim.Tool.Json;

namespace MemSim.Tool.Recordings;

/// <summary>Runs the programs of recordings again and says how often reclaim did what, there and here.</summary>
internal static class WorkloadRun
{
    private const double Least = 0.5;
    private const double Most = 2;

    /// <summary>Runs them, one after the other.</summary>
    /// <returns>The exit code.</returns>
    public static int Run(ToolConsole console, IReadOnlyList<string> directories, KernelChoice? kernel, bool asJson)
    {
        List<WorkloadDocument> documents = [];
        int matched = 0;
        int compared = 0;
        foreach (string path in directories)
        {
            string directory = SharedOptions.ExistingDirectory(path);
            bool underPressure = PressureReplay.CanRun(directory);
            if (!underPressure && !WorkloadReplay.CanRun(directory))
            {
                throw new BadInputException($"{path}: has neither workload.sh nor script.sh");
            }

            string name = Path.GetFileName(Path.GetFullPath(directory).TrimEnd(Path.DirectorySeparatorChar));
            IReadOnlyList<PressureFigure> measured = underPressure ? PressureReplay.Run(directory, kernel) : [];
            IReadOnlyList<WorkloadFigure> figures = underPressure
                ? [.. measured.Select(f => new WorkloadFigure(f.Name, f.Recorded, f.Simulated))]
                : WorkloadReplay.Run(directory, kernel);
            HashSet<string> matching = underPressure
                ? [.. measured.Where(f => f.Matches).Select(f => f.Name)]
                : [.. figures.Where(IsClose).Select(f => f.Name)];
            int close = matching.Count;
            int known = figures.Count(f => f.Recorded >= 0);
            documents.Add(new WorkloadDocument(name, close, known, [.. figures.Select(f => new WorkloadFigureDocument(f.Name, f.Recorded < 0 ? null : f.Recorded, f.Simulated, f.Ratio))]));
            matched += close;
            compared += known;
            if (!asJson)
            {
                console.Out.WriteLine($"{name}: the recorded programs, run again");
                console.WriteTable(
                    ["", "recorded", "simulated", "ratio"],
                    figures.Where(f => f.Recorded != 0 || f.Simulated != 0).Select(f => (string[])[f.Name, f.Recorded < 0 ? "" : $"{f.Recorded}", $"{f.Simulated}", Ratio(f, matching.Contains(f.Name))]));
                console.Out.WriteLine();
            }
        }

        bool fellShort = matched < compared;
        if (asJson)
        {
            console.WriteJson(new WorkloadsDocument("replay", matched, compared, fellShort, documents), ToolJsonContext.Default.WorkloadsDocument);
        }
        else
        {
            console.Out.WriteLine($"matched {matched} of {compared}");
        }

        return fellShort ? ExitCode.FellShort : ExitCode.Done;
    }

    private static bool IsClose(WorkloadFigure figure) => figure is { Recorded: >= 0, Ratio: >= Least and <= Most };

    private static string Ratio(WorkloadFigure figure, bool matches) =>
        figure.Recorded < 0 ? "" : (figure.Ratio?.ToString("F2", CultureInfo.InvariantCulture) ?? "-") + (matches ? "" : " !");
}
