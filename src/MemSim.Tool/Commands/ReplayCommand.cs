using System.CommandLine;
using MemSim.Kernels;
using MemSim.Tool.CommandLine;
using MemSim.Tool.Json;
using MemSim.Tool.Recordings;

namespace MemSim.Tool.Commands;

/// <summary><c>memsim replay</c>: does on a machine what a real kernel recorded and compares everything that can be.</summary>
internal static class ReplayCommand
{
    public static Command Create(ToolConsole console)
    {
        var recordings = new Argument<string[]>("RECORDING") { Description = "Folders of exact runs, of GFP flags or of traces; or the text of a trace (.txt, .txt.gz); - for a trace on standard input.", Arity = ArgumentArity.OneOrMore };
        var like = new Option<string?>("--like") { Description = "For the text of a trace: the captured machine it was recorded on.", HelpName = "DIR" };
        var atLeast = new Option<double?>("--at-least")
        {
            Description = "The share of comparisons that must be equal, in percent. Where not given: all of them; for traces all slab objects, and 99.8 (99.5 from Linux 6.18 on) of the frame numbers on one CPU without reclaim.",
            HelpName = "PERCENT",
        };
        var workload = new Option<bool>("--workload") { Description = "For folders of traces: runs the recorded programs again instead of the page events, and compares how hard reclaim worked; equal means within a factor of two. Also for folders of programs under pressure (script.sh), by how exactly each figure repeats on a real kernel." };
        Option<string?> kernel = SharedOptions.Kernel();
        Option<bool> json = SharedOptions.Json();
        var command = new Command("replay", "Replays what a real kernel recorded and compares every frame number, counter and list.") { recordings, like, atLeast, workload, kernel, json };
        command.SetAction(parsed =>
        {
            bool asJson = parsed.GetValue(json);
            KernelChoice? rules = SharedOptions.ToKernel(parsed.GetValue(kernel));
            double? percent = parsed.GetValue(atLeast);
            if (percent is double given && given is not (>= 0 and <= 100))
            {
                throw new BadInputException($"--at-least: {given} is no percentage");
            }

            if (parsed.GetValue(workload))
            {
                return WorkloadRun.Run(console, parsed.GetValue(recordings) ?? [], rules, asJson);
            }

            List<RecordingOutcome> outcomes = [];
            string[] names = parsed.GetValue(recordings) ?? [];
            bool alike = names.Select(n => Path.GetFileName(Path.TrimEndingDirectorySeparator(n))).Distinct(StringComparer.Ordinal).Count() != names.Length;
            foreach (string recording in names)
            {
                IReadOnlyList<RecordingOutcome> Replay(string path) => RecordingReplayer.Replay(console, path, parsed.GetValue(like), rules, quiet: asJson);
                IReadOnlyList<RecordingOutcome> some = StandardInput.IsMeant(recording) ? [.. StandardInput.Spool(console.OpenInput(), Replay).Select(o => o with { Name = StandardInput.Name })] : Replay(recording);
                outcomes.AddRange(alike && !StandardInput.IsMeant(recording) ? some.Select(o => o with { Name = some.Count == 1 ? recording : $"{Path.TrimEndingDirectorySeparator(recording)}: {o.Name}" }) : some);
            }

            long matched = outcomes.Sum(o => o.Matched);
            long compared = outcomes.Sum(o => o.Compared);
            bool fellShort = outcomes.Exists(o => o.FallsShortOf(percent));
            if (asJson)
            {
                console.WriteJson(new ReplayDocument("replay", matched, compared, fellShort, [.. outcomes.Select(o => o.ToDocument(percent))]), ToolJsonContext.Default.ReplayDocument);
            }
            else
            {
                foreach (RecordingOutcome outcome in outcomes)
                {
                    Write(console, outcome, percent);
                    if (outcomes.Count > 1)
                    {
                        console.Out.WriteLine($"{outcome.Name}: {outcome.Matched} of {outcome.Compared}");
                        console.Out.WriteLine();
                    }
                }

                console.Out.WriteLine(compared == 0 && fellShort ? $"nothing was compared: {WhyNothing(outcomes)}" : $"matched {matched} of {compared}");
            }

            return fellShort ? ExitCode.FellShort : ExitCode.Done;
        });
        return command;
    }

    private static string WhyNothing(List<RecordingOutcome> outcomes) =>
        outcomes.Exists(o => o.Operations != 0) ? "no operation in it has a result that could be" : "it holds no event of the page allocator or of slabs";

    private static void Write(ToolConsole console, RecordingOutcome outcome, double? wanted)
    {
        string speed = outcome.Seconds > 0 ? $", {outcome.Operations / outcome.Seconds:N0} a second" : "";
        console.Out.WriteLine($"{outcome.Name} ({outcome.Kind}): {outcome.Operations:N0} operations in {outcome.Seconds:F2} s{speed}");
        if (outcome.Trace is null && outcome.Kernel.Length != 0)
        {
            // Traces say it in their report.
            SharedOptions.WriteRules(console.Out, outcome.Kernel, outcome.Warnings);
        }

        console.Out.Write(outcome.Report);
        if (outcome.Counts.Count != 0)
        {
            console.WriteTable(
                ["compared", "equal", "of", "different"],
                outcome.Counts.Select(c => (string[])[c.Kind, $"{c.Matched}", $"{c.Compared}", $"{c.Compared - c.Matched}"]));
        }

        if (outcome.Mismatches.Count != 0)
        {
            console.Out.WriteLine("first mismatch:");
            console.Out.WriteLine(outcome.Mismatches[0].TrimEnd());
            for (int i = 1; i < outcome.Mismatches.Count; i++)
            {
                // The state around it is only worth its lines for the first.
                console.Out.WriteLine($"then: {outcome.Mismatches[i].Split('\n')[0]}");
            }
        }

        if (outcome.StoppedAt is string stopped)
        {
            console.Out.WriteLine("stopped, the rest is not compared:");
            console.Out.WriteLine(stopped.TrimEnd());
        }

        // Unless the user names a share of everything, what has to be equal to the last is left out here.
        long exactMatched = wanted is null ? outcome.ExactMatched : 0;
        long exactCompared = wanted is null ? outcome.ExactCompared : 0;
        if ((wanted ?? outcome.AtLeastPercent) is double needed and > 0 and < 100)
        {
            console.Out.WriteLine($"{RecordingOutcome.PercentText(outcome.Matched - exactMatched, outcome.Compared - exactCompared)} % equal{(exactCompared != 0 ? " of the frame numbers" : "")}, at least {needed} % wanted");
        }
        else if (wanted is null && outcome is { Trace: not null, Compared: > 0 } && outcome.FallsShortOf(null))
        {
            console.Out.WriteLine($"{RecordingOutcome.PercentText(outcome.Matched, outcome.Compared)} % equal; how much of a trace of several CPUs, or with reclaim, can be predicted is not known beforehand: --at-least PERCENT says what is enough");
        }
    }
}
