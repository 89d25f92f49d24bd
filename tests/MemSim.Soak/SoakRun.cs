using System.Globalization;

namespace MemSim.Soak;

/// <summary>What runs did.</summary>
internal sealed class SoakTally
{
    private readonly long[] _steps = new long[Enum.GetValues<StepKind>().Length];

    public long Machines { get; set; }

    public long Verified { get; set; }

    /// <summary>Requests that got nothing: no memory, or a failure that was injected.</summary>
    public long Failed { get; set; }

    /// <summary>Processes that ended for lack of memory.</summary>
    public long Killed { get; set; }

    public long BlocksMoved { get; set; }

    public long LargestLeft { get; set; }

    public long Steps => _steps.Sum();

    public void Count(StepKind kind) => _steps[(int)kind]++;

    public long Of(StepKind kind) => _steps[(int)kind];

    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{Steps} operations on {Machines} machines, {Verified} times verified, {Failed} requests refused, {Killed} processes killed, {BlocksMoved} memory blocks off or on, at most {LargestLeft} pages unaccounted for at the end");

    public string Table() => string.Join('\n', Enum.GetValues<StepKind>().Select(kind => string.Create(CultureInfo.InvariantCulture, $"  {kind} {Of(kind)}")));
}

/// <summary>Runs the steps of a seed on a machine and on a naive model of it, and makes a run that fails as short as it can.</summary>
internal static class SoakRun
{
    /// <summary>Runs a seed.</summary>
    /// <returns>What went wrong, with the steps that are enough for it; null when nothing did.</returns>
    public static string? Run(ulong seed, int steps, SoakTally tally) => Run(seed, Step.Of(seed, steps), tally);

    /// <summary>Runs steps on the machine of a seed.</summary>
    public static string? Run(ulong seed, Step[] all, SoakTally tally)
    {
        if (Try(seed, all, tally, out int failedAt) is not { } wrong)
        {
            return null;
        }

        Step[] least = Shrink(seed, all[..Math.Min(failedAt + 1, all.Length)]);
        string again = Try(seed, least, new SoakTally(), out _) ?? "(no failure when repeated)";
        return $"seed {seed}, step {failedAt}: {wrong}\n{least.Length} steps are enough:\n{string.Join('\n', least)}\n{again}";
    }

    /// <summary>Runs steps.</summary>
    /// <param name="seed">Decides what machine it is.</param>
    /// <param name="steps">The steps.</param>
    /// <param name="tally">Counts.</param>
    /// <param name="failedAt">The step that failed; the number of steps when it was the end.</param>
    public static string? Try(ulong seed, ReadOnlySpan<Step> steps, SoakTally tally, out int failedAt)
    {
        failedAt = 0;
        string last = "boot";
        try
        {
            using SoakMachine machine = new(seed, tally);
            tally.Machines++;
            foreach (Step step in steps)
            {
                last = step.ToString();
                tally.Count(step.Kind);
                machine.Do(step);
                failedAt++;
            }

            last = "the end";
            machine.Finish();
            return null;
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            return $"{last}: {e}";
        }
    }

    /// <summary>Leaves out what is not needed for a failure: halves first, then smaller and smaller parts.</summary>
    private static Step[] Shrink(ulong seed, Step[] steps)
    {
        DateTime until = DateTime.UtcNow.AddMinutes(3);
        for (int part = Math.Max(1, steps.Length / 2); part >= 1 && DateTime.UtcNow < until; part = part == 1 ? 0 : part / 2)
        {
            for (int at = 0; at + part <= steps.Length && steps.Length > 1 && DateTime.UtcNow < until;)
            {
                Step[] less = [.. steps[..at], .. steps[(at + part)..]];
                if (Try(seed, less, new SoakTally(), out int failedAt) is null)
                {
                    at += part;
                }
                else
                {
                    steps = less[..Math.Min(failedAt + 1, less.Length)];
                }
            }
        }

        return steps;
    }
}
