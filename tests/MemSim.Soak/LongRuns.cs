using System.Diagnostics;
using System.Globalization;

namespace MemSim.Soak;

/// <summary>Runs machine after machine until so many operations are done, a line for each.</summary>
internal static class LongRuns
{
    public static int Go(string[] args)
    {
        bool pressed = args[0] == "pressure";
        bool processes = pressed || args[0] == "processes";
        long left = long.Parse(args[1], CultureInfo.InvariantCulture);
        ulong seed = args.Length > 2 ? ulong.Parse(args[2], CultureInfo.InvariantCulture) : 1;
        long each = args.Length > 3 ? long.Parse(args[3], CultureInfo.InvariantCulture) : pressed ? 500_000 : processes ? 10_000_000 : 1_000_000_000;
        long all = 0;
        Stopwatch clock = Stopwatch.StartNew();
        try
        {
            for (; left > 0; seed++, left -= each)
            {
                all += processes ? RunProcesses(seed, Math.Min(left, each), pressed) : Run(seed, Math.Min(left, each));
            }
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            Console.WriteLine($"seed {seed}: {e}");
            return 1;
        }

        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{all} operations, {clock.Elapsed.TotalSeconds:F0} s: no difference from the model"));
        return 0;
    }

    private static long Run(ulong seed, long operations)
    {
        using LongRun run = new(seed);
        Stopwatch clock = Stopwatch.StartNew();
        run.Run(operations);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"seed {seed}, {run.Name}: {run.Operations} operations, {run.Refused} refused, at most {run.MostAlive} alive, {run.Verified} times verified, {clock.Elapsed.TotalSeconds:F0} s"));
        return run.Operations;
    }

    private static long RunProcesses(ulong seed, long operations, bool pressed)
    {
        using LongProcessRun run = new(seed, pressed);
        Stopwatch clock = Stopwatch.StartNew();
        run.Run(operations);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"seed {seed}, {run.Name}: {run.Operations} operations, {run.Forks} forks, {run.SwappedOut} pages swapped out, {run.Killed} killed, {run.Refused} refused{run.Pressure}, {run.Verified} times verified, {clock.Elapsed.TotalSeconds:F0} s"));
        return run.Operations;
    }
}
