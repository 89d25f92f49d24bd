using System.Diagnostics;

namespace MemSim.Benchmarks.Harness;

/// <summary>Measures two CPUs of one machine at once, and one of them alone in turn with it, so that both see the same noise.</summary>
internal static class TwoCpuSampler
{
    /// <summary>Nanoseconds an operation on each of two threads, and how many times the throughput of one thread alone both reach together.</summary>
    /// <param name="PerThread">By the wall clock.</param>
    /// <param name="MedianScaling">By the wall clock.</param>
    /// <param name="BestScaling">By the wall clock.</param>
    /// <param name="CpuScaling">Median by each thread's own CPU time: the same on a quiet host, and what remains on one that has other work to do.</param>
    public readonly record struct Result(Figures PerThread, double MedianScaling, double BestScaling, double CpuScaling);

    public static Result Measure(TwoCpuWorkload work)
    {
        int turns = Sampler.WarmUp(work.First);
        Sampler.WarmUp(work.Second);
        double operations = (double)turns * work.First.OperationsPerTurn;
        _ = TimeBoth(work, turns);
        double[] both = new double[Sampler.Samples];
        double[] scaling = new double[Sampler.Samples];
        double[] cpuScaling = new double[Sampler.Samples];
        for (int i = 0; i < both.Length; i++)
        {
            (double aloneWall, double aloneCpu) = Time(work.First, turns);
            (double wall, double cpu) = TimeBoth(work, turns);
            both[i] = wall * 1e6 / operations;
            scaling[i] = 2 * aloneWall / wall;
            cpuScaling[i] = 2 * aloneCpu / cpu;
        }

        Array.Sort(scaling);
        Array.Sort(cpuScaling);
        return new Result(Sampler.FiguresOf(both), scaling[scaling.Length / 2], scaling[^1], cpuScaling[cpuScaling.Length / 2]);
    }

    /// <summary>The mean time of two threads that start together, each measuring itself.</summary>
    private static (double Wall, double Cpu) TimeBoth(TwoCpuWorkload work, int turns)
    {
        (double Wall, double Cpu)[] elapsed = new (double, double)[2];
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

        return ((elapsed[0].Wall + elapsed[1].Wall) / 2, (elapsed[0].Cpu + elapsed[1].Cpu) / 2);

        void Drive(Workload own, int index)
        {
            Interlocked.Increment(ref ready);
            SpinWait spin = default;
            while (Volatile.Read(ref ready) != 2)
            {
                spin.SpinOnce(sleep1Threshold: -1);
            }

            elapsed[index] = Time(own, turns);
        }
    }

    private static (double Wall, double Cpu) Time(Workload work, int turns)
    {
        long start = Stopwatch.GetTimestamp();
        double cpu = Sampler.Time(work, turns);
        return (Stopwatch.GetElapsedTime(start).TotalMilliseconds, cpu);
    }
}
