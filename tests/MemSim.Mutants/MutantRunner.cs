using System.Diagnostics;
using System.Globalization;

namespace MemSim.Mutants;

/// <summary>Tries one mutant after another with the tests that meet it, the nearest and quickest first, until one fails.</summary>
/// <param name="tests">The assembly of the tests.</param>
/// <param name="measured">Where the time and the mutants of each test are kept.</param>
internal sealed class MutantRunner(string tests, string measured) : IDisposable
{
    private const string SoFar = "so far";
    private const string Killed = "killed";

    private readonly Worker _worker = new(tests);

    // Tests that passed with a mutant in an earlier round.
    private readonly Dictionary<int, HashSet<int>> _passed = [];
    private readonly Dictionary<string, (double Milliseconds, HashSet<int> Met)> _measured = [];
    private readonly Dictionary<int, string> _killers = [];

    /// <summary>What killed a mutant in an earlier run is tried first.</summary>
    /// <param name="log">The log of that run.</param>
    public void Remember(string log)
    {
        foreach (string line in File.ReadLines(log).Where(l => l.StartsWith(Killed, StringComparison.Ordinal)))
        {
            string[] fields = line.Split('\t');
            _killers[int.Parse(fields[1], CultureInfo.InvariantCulture)] = fields[0].Split(' ')[^1];
        }
    }

    /// <summary>Runs all tests without a mutant, to see how long they take and what they meet; those measured before are not run again.</summary>
    /// <param name="most">Tests that take longer are not used.</param>
    public void Measure(TimeSpan most)
    {
        foreach (string[] fields in File.Exists(measured) ? File.ReadAllLines(measured).Select(l => l.Split('\t')) : [])
        {
            _measured[fields[0]] = (double.Parse(fields[1], CultureInfo.InvariantCulture), [.. fields[2].Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(int.Parse)]);
        }

        _worker.Start(-1);
        for (int test = 0; test < _worker.Names.Count; test++)
        {
            string name = _worker.Names[test];
            if (_measured.ContainsKey(name))
            {
                continue;
            }

            // Tests that read or compile sources run nothing of the changed code.
            if (name.Contains(".House.", StringComparison.Ordinal) || name.Contains(".Docs.", StringComparison.Ordinal))
            {
                _measured[name] = (-1, []);
                continue;
            }

            Answer first = _worker.Run(test, -1, met: true, most);

            // The first run compiles; later ones are as quick as the second.
            Answer again = first is { Passed: true, Milliseconds: > 20 and < 1000 } ? _worker.Run(test, -1, met: false, most) : first;
            bool good = first.Passed && again.Passed;
            if (!good)
            {
                Console.WriteLine($"not used: {name}: {first.Kind} {again.Kind} {first.Rest.AsSpan(0, Math.Min(first.Rest.Length, 200))}");
            }

            double time = good ? again.Milliseconds : -1;
            string met = good ? first.Rest : "";
            _measured[name] = (time, [.. met.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(int.Parse)]);
            File.AppendAllText(measured, string.Create(CultureInfo.InvariantCulture, $"{name}\t{time:F1}\t{met}\n"));
        }

        Console.WriteLine($"{_worker.Names.Count} tests, {_worker.Names.Count(n => _measured[n].Milliseconds < 0)} not used, {_worker.Names.Sum(n => Math.Max(0, _measured[n].Milliseconds)) / 1000:F0} s in all");
    }

    /// <summary>Tries the mutants that the log has no last word on: all of them with the tests that take no time, then what is left with more and more, until the time is over.</summary>
    /// <param name="mutants">The mutants.</param>
    /// <param name="log">Where the verdicts go.</param>
    /// <param name="each">How long the tests of one mutant may take, without it, in the last round.</param>
    /// <param name="most">When to stop.</param>
    /// <param name="fresh">Whether each mutant gets a process in which it is in force from the start: what statics hold is mutated too.</param>
    public void Go(IReadOnlyList<Mutant> mutants, string log, TimeSpan each, TimeSpan most, bool fresh)
    {
        Stopwatch clock = Stopwatch.StartNew();
        HashSet<int> done = [.. (File.Exists(log) ? File.ReadLines(log) : []).Where(l => !l.StartsWith(SoFar, StringComparison.Ordinal)).Select(l => Mutant.Parse(l[(l.IndexOf('\t', StringComparison.Ordinal) + 1)..]).Id)];
        List<Mutant> left = [.. mutants.Where(m => !done.Contains(m.Id))];
        foreach (double limit in fresh ? [each.TotalMilliseconds] : (double[])[each.TotalMilliseconds / 64, each.TotalMilliseconds / 8, each.TotalMilliseconds])
        {
            foreach (Mutant mutant in left.ToArray().TakeWhile(_ => clock.Elapsed < most))
            {
                Stopwatch own = Stopwatch.StartNew();
                string verdict = fresh ? TryFresh(mutant, each) : Try(mutant, limit, isLast: limit >= each.TotalMilliseconds);
                if (!verdict.StartsWith(SoFar, StringComparison.Ordinal))
                {
                    left.Remove(mutant);
                }

                File.AppendAllText(log, string.Create(CultureInfo.InvariantCulture, $"{verdict}\t{mutant}\t{own.Elapsed.TotalSeconds:F1}\n"));
            }
        }
    }

    public void Dispose() => _worker.Dispose();

    private string Try(Mutant mutant, double limit, bool isLast)
    {
        int[] meeting = [.. Enumerable.Range(0, _worker.Names.Count).Where(t => Use(t) && Meets(t, mutant.Id)).OrderBy(t => Cost(t, mutant))];
        if (!_passed.TryGetValue(mutant.Id, out HashSet<int>? passed))
        {
            _passed[mutant.Id] = passed = [];
        }

        double spent = passed.Sum(t => _measured[_worker.Names[t]].Milliseconds);
        string doubted = "";
        foreach (int test in meeting.Where(t => !passed.Contains(t)))
        {
            double normal = _measured[_worker.Names[test]].Milliseconds;
            if (spent + normal > limit && !(_killers.TryGetValue(mutant.Id, out string? killer) && killer == _worker.Names[test]))
            {
                continue;
            }

            spent += normal;
            Answer with = Ask(test, mutant.Id);

            // A test that fails by chance, or because of what a mutant left behind in the process, kills nothing: it must pass without the mutant and fail with it again.
            if (!with.Passed && Ask(test, -1).Passed && !Ask(test, mutant.Id).Passed)
            {
                return $"{Killed}: {with.Kind} {_worker.Names[test]}";
            }

            passed.Add(test);
            if (!with.Passed)
            {
                doubted = $", {_worker.Names[test]} in doubt";
                _worker.Start(-1);
            }
        }

        return meeting.Length == 0 ? "not met" : $"{(isLast || passed.Count == meeting.Length ? "survived" : SoFar)}: {passed.Count} of {meeting.Length}{doubted}";
    }

    private string TryFresh(Mutant mutant, TimeSpan each)
    {
        double spent = 0;
        _worker.Start(mutant.Id);
        foreach (int test in Enumerable.Range(0, _worker.Names.Count).Where(Use).OrderBy(t => Cost(t, mutant)))
        {
            double normal = _measured[_worker.Names[test]].Milliseconds;
            spent += normal;
            if (spent > each.TotalMilliseconds)
            {
                break;
            }

            Answer with = Ask(test, mutant.Id);
            if (!with.Passed)
            {
                _worker.Start(-1);
                bool passes = Ask(test, -1).Passed;
                _worker.Start(mutant.Id);
                if (passes && !Ask(test, mutant.Id).Passed)
                {
                    return $"{Killed}: {with.Kind} {_worker.Names[test]}";
                }
            }
        }

        return "survived";
    }

    /// <summary>A hang is a test that takes ten times as long as it does without a mutant, and ten seconds more.</summary>
    private Answer Ask(int test, int mutant) => _worker.Run(test, mutant, met: false, TimeSpan.FromSeconds(10) + TimeSpan.FromMilliseconds(10 * _measured[_worker.Names[test]].Milliseconds));

    private bool Use(int test) => _measured.TryGetValue(_worker.Names[test], out (double Milliseconds, HashSet<int> Met) known) && known.Milliseconds >= 0;

    private bool Meets(int test, int mutant) => _measured[_worker.Names[test]].Met.Contains(mutant) || (_killers.TryGetValue(mutant, out string? killer) && killer == _worker.Names[test]);

    /// <summary>The tests of the mutant's room come first, and those of its own class before them.</summary>
    private double Cost(int test, Mutant mutant)
    {
        string name = _worker.Names[test];
        if (_killers.TryGetValue(mutant.Id, out string? killer) && killer == name)
        {
            return 0;
        }

        string file = Path.GetFileName(mutant.File).Split('.')[0];
        double factor = name.Contains(file, StringComparison.Ordinal) ? 0.05 : name.Contains($".{mutant.Room}.", StringComparison.Ordinal) ? 0.2 : 1;
        return (_measured[name].Milliseconds + 1) * factor;
    }
}
