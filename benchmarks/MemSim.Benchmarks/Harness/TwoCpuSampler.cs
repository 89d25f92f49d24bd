using System.Diagnostics;

namespace MemSim.Benchmarks.Harness;

/// <summary>Measures two CPUs of one machine at once, and one of them alone in turn with it, so that both see the same noise.</summary>
internal static class TwoCpuSampler
{
    /// <summary>Nanoseconds an operation on each of two threads, and how many times the throughput of one thread alone both reach together.</summary>
    public readonly record struct Result(Figures PerThread, double MedianScaling, double BestScaling);

    public static Result Measure(TwoCpuWorkload work)
    {
        int turns = Sampler.WarmUp(work.First);
        Sampler.WarmUp(work.Second);
        double operations = (double)turns * work.First.OperationsPerTurn;
        _ = TimeBoth(work, turns);
        double[] both = new double[Sampler.Samples];
        double[] alone = new double[Sampler.Samples];
        double[] scaling = new double[Sampler.Samples];
        for (int i = 0; i < both.Length; i++)
        {
            alone[i] = Sampler.Time(work.First.Run, turns) * 1e6 / operations;
            both[i] = TimeBoth(work, turns) * 1e6 / operations;
            scaling[i] = 2 * alone[i] / both[i];
        }

        Array.Sort(scaling);
        Figures together = Sampler.FiguresOf(both);
        return new Result(together, scaling[scaling.Length / 2], 2 * Sampler.FiguresOf(alone).Min / together.Min);
    }

    /// <summary>The mean time of two threads that start together, each measuring itself.</summary>
    private static double TimeBoth(TwoCpuWorkload work, int turns)
    {
        double[] elapsed = new double[2];
        int ready = 0;
        Thread[] threads = [new(() => Drive(work.First, 0)), new(() => Drive(work.Second, 1))];
        foreach (Thread thread in threads)
        {
            thread.Start();
        }

        foreach (Thread thread in threads)
        {
            thread.Join();
        }

        return (elapsed[0] + elapsed[1]) / 2;

        void Drive(Workload own, int index)
        {
            Interlocked.Increment(ref ready);
            SpinWait spin = default;
            while (Volatile.Read(ref ready) != 2)
            {
                spin.SpinOnce(sleep1Threshold: -1);
            }

            long start = Stopwatch.GetTimestamp();
            own.Run(turns);
            elapsed[index] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
        }
    }
}
