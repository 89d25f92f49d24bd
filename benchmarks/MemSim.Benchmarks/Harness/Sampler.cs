using System.Diagnostics;

namespace MemSim.Benchmarks.Harness;

/// <summary>Nanoseconds an operation, of several samples.</summary>
internal readonly record struct Figures(double Median, double Min);

/// <summary>Warms a workload up until the JIT has nothing left to do, then takes samples long enough for the clock.</summary>
internal static class Sampler
{
    public const int Samples = 9;

    private const double SampleMilliseconds = 30;
    private const double WarmUpMilliseconds = 350;

    /// <summary>Beyond this many calls every method of the pattern has left the first tier, loops included.</summary>
    private const int WarmUpCalls = 100;

    public static Figures Measure(Workload work)
    {
        int turns = WarmUp(work);
        double[] samples = new double[Samples];
        for (int i = 0; i < samples.Length; i++)
        {
            samples[i] = Time(work.Run, turns) * 1e6 / ((double)turns * work.OperationsPerTurn);
        }

        return FiguresOf(samples);
    }

    /// <summary>Runs a workload until it is compiled for good, and finds how many turns make a sample.</summary>
    public static int WarmUp(Workload work)
    {
        // Many short calls first: call counting promotes methods, and promotion waits until no new method has been compiled for a while.
        int turns = 1;
        Stopwatch total = Stopwatch.StartNew();
        double last = Time(work.Run, turns);
        for (int call = 1; last < SampleMilliseconds && (call < WarmUpCalls || total.Elapsed.TotalMilliseconds < WarmUpMilliseconds); call++)
        {
            last = Time(work.Run, turns);
            if (last < WarmUpMilliseconds / (2 * WarmUpCalls))
            {
                turns = checked(turns * 2);
            }
        }

        while (last < SampleMilliseconds)
        {
            double grow = Math.Clamp(SampleMilliseconds * 1.2 / Math.Max(last, 0.001), 1.2, 16);
            turns = (int)Math.Min(int.MaxValue / 2, Math.Ceiling(turns * grow));
            last = Time(work.Run, turns);
        }

        return turns;
    }

    public static double Time(Action<int> run, int turns)
    {
        long start = Stopwatch.GetTimestamp();
        run(turns);
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }

    public static Figures FiguresOf(double[] samples)
    {
        Array.Sort(samples);
        return new Figures(samples[samples.Length / 2], samples[0]);
    }
}
