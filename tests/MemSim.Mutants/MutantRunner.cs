using System.Diagnostics;
using System.Globalization;

namespace MemSim.Mutants;

/// <summary>Runs the tests against one mutant after another: first those that meet it, the quickest first, until one fails.</summary>
internal sealed class MutantRunner(string tests, string log, IReadOnlyList<string[]> groups)
{
    private readonly List<(string[] Group, HashSet<int> Met, double Seconds)> _groups = [];

    /// <summary>Runs all groups without a mutant, to see which they meet.</summary>
    public void Measure()
    {
        foreach (string[] group in groups)
        {
            string seen = Path.GetTempFileName();
            Stopwatch clock = Stopwatch.StartNew();
            bool green = Run(group, null, seen, TimeSpan.FromMinutes(10));
            Console.WriteLine($"{string.Join(' ', group)}: {(green ? "green" : "RED")}, {clock.Elapsed.TotalSeconds:F1} s");
            if (green)
            {
                _groups.Add((group, [.. File.ReadAllLines(seen).Select(l => int.Parse(l, CultureInfo.InvariantCulture))], clock.Elapsed.TotalSeconds));
            }

            File.Delete(seen);
        }

        _groups.Sort((a, b) => a.Seconds.CompareTo(b.Seconds));
    }

    /// <summary>Runs the mutants until the time is over.</summary>
    public void Go(IReadOnlyList<Mutant> mutants, TimeSpan most)
    {
        Stopwatch clock = Stopwatch.StartNew();
        HashSet<int> done = File.Exists(log) ? [.. File.ReadLines(log).Select(l => int.Parse(l.Split('\t')[1], CultureInfo.InvariantCulture))] : [];
        foreach (Mutant mutant in mutants.Where(m => !done.Contains(m.Id)))
        {
            if (clock.Elapsed > most)
            {
                return;
            }

            string verdict = "survived";
            List<(string[] Group, HashSet<int> Met, double Seconds)> meets = [.. _groups.Where(g => g.Met.Contains(mutant.Id))];
            foreach ((string[] group, _, double seconds) in meets)
            {
                if (!Run(group, mutant.Id, null, TimeSpan.FromSeconds((seconds * 4) + 20)))
                {
                    verdict = $"killed by {group[0]}";
                    break;
                }
            }

            File.AppendAllText(log, $"{(meets.Count == 0 ? "not met" : verdict)}\t{mutant}\n");
        }
    }

    /// <summary>Whether the tests are green; a run that takes too long is not.</summary>
    private bool Run(string[] group, int? mutant, string? seen, TimeSpan most)
    {
        ProcessStartInfo start = new(tests) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string pattern in group)
        {
            start.ArgumentList.Add("-class");
            start.ArgumentList.Add(pattern);
        }

        start.ArgumentList.Add("-stopOnFail");
        start.Environment["MEMSIM_MUTANT"] = mutant?.ToString(CultureInfo.InvariantCulture) ?? "-1";
        if (seen is not null)
        {
            start.Environment["MEMSIM_MUTANTS_SEEN"] = seen;
        }

        using Process process = Process.Start(start)!;
        process.OutputDataReceived += (_, _) => { };
        process.ErrorDataReceived += (_, _) => { };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        if (!process.WaitForExit(most))
        {
            process.Kill(entireProcessTree: true);
            process.WaitForExit();
            return false;
        }

        return process.ExitCode == 0;
    }
}
