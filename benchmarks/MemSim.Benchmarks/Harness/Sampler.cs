namespace MemSim.Benchmarks.Harness;

/// <summary>Nanoseconds an operation, of several samples.</summary>
internal readonly record struct Figures(double Median, double Min);

/// <summary>Warms a workload up until the JIT has nothing left to do, then takes samples long enough for the clock.</summary>
internal static class Sampler
{
    public const int Samples = 9;

    private const double SampleMilliseconds = 30;
    /// <summary>Longer than the pause without new methods after which the JIT begins to count calls, and to compile what was counted.</summary>
    private const int TieringPauseMilliseconds = 150;

    /// <summary>More calls than it takes to leave a tier.</summary>
    private const int CallsPerTier = 40;

    /// <summary>Unoptimised, instrumented, optimised; one more in case another method's compilation delayed a step.</summary>
    private const int TierSteps = 4;

    /// <summary>A workload this slow in one turn is not about instructions: it is run a few times and measured.</summary>
    private const double SlowMilliseconds = 5;

    public static Figures Measure(Workload work)
    {
        int turns = WarmUp(work);
        double[] samples = new double[Samples];
        for (int i = 0; i < samples.Length; i++)
        {
            samples[i] = Time(work, turns) * 1e6 / ((double)turns * work.OperationsPerTurn);
        }

        return FiguresOf(samples);
    }

    /// <summary>Runs a workload until it is compiled for good, and finds how many turns make a sample.</summary>
    public static int WarmUp(Workload work)
    {
        // Many short calls with pauses: without the pauses the loop itself would stay in the code that on-stack replacement made for it.
        int turns = 1;
        double last = Time(work, turns);
        for (int step = 0; step < TierSteps && last < SlowMilliseconds; step++)
        {
            for (int call = 0; call < CallsPerTier; call++)
            {
                last = Time(work, turns);
                turns *= last < SlowMilliseconds / 10 ? 2 : 1;
            }

            Thread.Sleep(TieringPauseMilliseconds);
        }

        while (last < SampleMilliseconds)
        {
            double grow = Math.Clamp(SampleMilliseconds * 1.2 / Math.Max(last, 0.001), 1.2, 16);
            turns = (int)Math.Min(int.MaxValue / 2, Math.Ceiling(turns * grow));
            last = Time(work, turns);
        }

        return turns;
    }

    /// <summary>Milliseconds that so many turns take, without what is done between them.</summary>
    public static double Time(Workload work, int turns)
    {
        if (work.Between is not { } between)
        {
            double start = ThreadClock.Milliseconds;
            work.Run(turns);
            return ThreadClock.Milliseconds - start;
        }

        double spent = 0;
        for (int turn = 0; turn < turns; turn++)
        {
            double start = ThreadClock.Milliseconds;
            work.Run(1);
            spent += ThreadClock.Milliseconds - start;
            between();
        }

        return spent;
    }

    public static Figures FiguresOf(double[] samples)
    {
        Array.Sort(samples);
        return new Figures(samples[samples.Length / 2], samples[0]);
    }
}
