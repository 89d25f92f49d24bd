using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Runtime.Loader;

namespace MemSim.Mutants;

/// <summary>One process that holds the tests and does what it is told a line at a time: warm code runs a test in milliseconds that takes a second in a process of its own.</summary>
/// <remarks>
/// In: the number of a test, the number of the mutant (-1: none), 1 to be told which mutants it meets. Out: <c>=ok</c> or <c>=fail</c>, milliseconds, the numbers met or the first line of the failure.
/// </remarks>
internal static class WorkerLoop
{
    /// <summary>Serves until the input ends.</summary>
    /// <param name="tests">The assembly of the tests, the changed MemSim beside it.</param>
    public static void Run(string tests)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(tests))!;

        // Tests look for their data beside themselves.
        AppContext.SetData("APP_CONTEXT_BASE_DIRECTORY", folder + Path.DirectorySeparatorChar);
        AssemblyLoadContext.Default.Resolving += (context, name) =>
        {
            string path = Path.Combine(folder, name.Name + ".dll");
            return File.Exists(path) ? context.LoadFromAssemblyPath(path) : null;
        };
        Assembly assembly = AssemblyLoadContext.Default.LoadFromAssemblyPath(Path.GetFullPath(tests));
        Type mutants = AssemblyLoadContext.Default.LoadFromAssemblyPath(Path.Combine(folder, "MemSim.dll")).GetType("MemSim.MutantSwitch", throwOnError: true)!;
        FieldInfo on = mutants.GetField("On")!;
        FieldInfo met = mutants.GetField("Met")!;
        int always = (int)on.GetValue(null)!;
        TextWriter answers = Console.Out;
        Console.SetOut(TextWriter.Null);

        on.SetValue(null, -1);
        TestCase[] cases = [.. TestCase.In(assembly)];
        on.SetValue(null, always);
        foreach (TestCase test in cases)
        {
            answers.WriteLine($"+{test.Name}");
        }

        answers.WriteLine("=ready");
        answers.Flush();
        while (Console.In.ReadLine() is { } line)
        {
            int[] words = [.. line.Split(' ').Select(w => int.Parse(w, CultureInfo.InvariantCulture))];
            bool[]? seen = words[2] == 1 ? new bool[1 << 16] : null;
            met.SetValue(null, seen);
            on.SetValue(null, words[1]);
            Stopwatch clock = Stopwatch.StartNew();
            string? failure = cases[words[0]].Failure();
            on.SetValue(null, -1);
            met.SetValue(null, null);
            string rest = failure?.ReplaceLineEndings(" ") ?? (seen is null ? "" : string.Join(' ', Enumerable.Range(0, seen.Length).Where(i => seen[i])));
            answers.WriteLine(string.Create(CultureInfo.InvariantCulture, $"={(failure is null ? "ok" : "fail")}\t{clock.Elapsed.TotalMilliseconds:F1}\t{rest}"));
            answers.Flush();
        }
    }
}
