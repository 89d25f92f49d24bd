using System.CommandLine;
using MemSim.Kernels;
using MemSim.Recordings;
using MemSim.Tool.Json;

namespace MemSim.Tool.Commands;

/// <summary><c>memsim twin</c>: computes every derived figure of captured machines and compares it with the kernel's own.</summary>
internal static class TwinCommand
{
    public static Command Create(ToolConsole console)
    {
        var directories = new Argument<string[]>("DIR") { Description = "Captured machines: folders with zoneinfo, or /proc on a live Linux.", Arity = ArgumentArity.OneOrMore };
        Option<string?> kernel = SharedOptions.Kernel();
        Option<bool> json = SharedOptions.Json();
        var all = new Option<bool>("--all") { Description = "Print every figure, equal ones and those that cannot be compared too." };
        var command = new Command("twin", "Computes every derived figure of captured machines and compares it with the kernel's own.") { directories, all, kernel, json };
        command.SetAction(parsed =>
        {
            string[] names = parsed.GetValue(directories) ?? [];
            bool asJson = parsed.GetValue(json);
            KernelChoice? rules = SharedOptions.ToKernel(parsed.GetValue(kernel));
            List<TwinReport> reports = console.WithProgress("twins", names.Length, quiet: asJson || names.Length == 1, progress =>
            {
                List<TwinReport> done = [];
                foreach (string name in names)
                {
                    done.Add(TwinComparison.Run(SharedOptions.ExistingDirectory(name), rules));
                    progress.Report(done.Count);
                }

                return done;
            });

            long matched = reports.Sum(r => (long)r.Matched);
            long compared = reports.Sum(r => (long)r.Compared);
            if (asJson)
            {
                console.WriteJson(new TwinDocument("twin", matched, compared, [.. reports.Select(ToDocument)]), ToolJsonContext.Default.TwinDocument);
            }
            else
            {
                Write(console, reports, parsed.GetValue(all));
                console.Out.WriteLine(compared == 0 ? "nothing was compared: no figure in it can be computed" : $"matched {matched} of {compared}");
            }

            return matched == compared && compared != 0 ? ExitCode.Done : ExitCode.FellShort;
        });
        return command;
    }

    private static TwinMachineDocument ToDocument(TwinReport report) => new(
        report.Directory,
        report.Kernel,
        report.Warnings,
        report.Matched,
        report.Compared,
        [.. report.Rows.GroupBy(r => r.Step).Select(s => new TwinStepDocument(
            s.Key, s.Count(r => r.Verdict == TwinVerdict.Match), s.Count(r => r.Verdict != TwinVerdict.NotComparable), s.Count(r => r.Verdict == TwinVerdict.NotComparable)))],
        [.. report.Rows.Where(r => r.Verdict == TwinVerdict.Mismatch).Select(ToDocument)],
        [.. report.Rows.Where(r => r.Verdict == TwinVerdict.NotComparable).GroupBy(r => (r.Step, Reason: r.Reason ?? "")).Select(g => new TwinApartDocument(
            g.Key.Step, g.Key.Reason, g.Count(), [.. g.Select(ToDocument)]))]);

    private static TwinRowDocument ToDocument(TwinRow row) => new(row.Step, row.Figure, row.Node, row.Zone, row.Cpu, row.Captured, row.Computed);

    private static void Write(ToolConsole console, List<TwinReport> reports, bool all)
    {
        foreach (TwinReport report in reports)
        {
            if (reports.Count > 1)
            {
                console.Out.WriteLine($"{report.Directory} ({report.Kernel}): {report.Matched} of {report.Compared}, {report.NotComparable} not comparable");
            }

            SharedOptions.WriteWarnings(console.Out, report.Warnings);
            WriteRows(console, report, all);
            if (reports.Count == 1)
            {
                WriteWhole(console, report);
            }
        }
    }

    private static void WriteRows(ToolConsole console, TwinReport report, bool all)
    {
        foreach (TwinRow row in report.Rows)
        {
            if (row.Verdict == TwinVerdict.Mismatch)
            {
                console.Out.WriteLine($"differs: {row}");
            }
            else if (all)
            {
                console.Out.WriteLine($"{(row.Verdict == TwinVerdict.Match ? "equal" : "not comparable")}: {row}");
            }
        }
    }

    private static void WriteWhole(ToolConsole console, TwinReport report)
    {
        console.Out.WriteLine($"{report.Directory}, {report.Kernel} rules");
        console.WriteTable(
            ["state", "figures", "equal", "different", "not comparable"],
            report.Rows.GroupBy(r => r.Step).Select(step => (string[])[step.Key, $"{step.Count()}", Count(step, TwinVerdict.Match), Count(step, TwinVerdict.Mismatch), Count(step, TwinVerdict.NotComparable)]));
        foreach (IGrouping<string?, TwinRow> apart in report.Rows.Where(r => r.Verdict == TwinVerdict.NotComparable).GroupBy(r => r.Reason))
        {
            int equal = apart.Count(r => r.Captured == r.Computed);
            console.Out.WriteLine($"not comparable, {apart.Count()} figures{(equal == 0 ? "" : $", {equal} of them equal")} ({string.Join(", ", apart.Select(r => r.Figure).Distinct())}; {States(apart)}): {apart.Key}");
        }
    }

    private static string States(IEnumerable<TwinRow> rows)
    {
        List<string> steps = [.. rows.Select(r => r.Step).Distinct()];
        return steps.Count <= 3 ? string.Join(", ", steps) : $"{steps.Count} states";
    }

    private static string Count(IEnumerable<TwinRow> rows, TwinVerdict verdict) => $"{rows.Count(r => r.Verdict == verdict)}";
}
