using System.Globalization;

namespace MemSim.Benchmarks.Harness;

/// <summary>Prints one line <c>SUBJECT,OPERATION,ns_median,ns_min</c> for each operation; what else there is to say goes to standard error.</summary>
internal static class CsvRunner
{
    private const double TrainingMilliseconds = 100;

    public static int Run(BenchmarkOptions options, string? pattern)
    {
        List<Operation> chosen = [.. OperationTable.Matching(pattern).Where(o => !options.Parallel || o.HasParallelForm || o.Subject != "MemSim")];
        if (chosen.Count == 0)
        {
            Console.Error.WriteLine($"no operation matches '{pattern}'; --list shows all");
            return 2;
        }

        Train(chosen, options);
        foreach (Operation operation in chosen)
        {
            using (Workload work = operation.Prepare(options))
            {
                Print(SubjectOf(operation, options), operation.Name, Sampler.Measure(work));
                if (work.Remark is { } remark)
                {
                    Console.Error.WriteLine($"# {operation.Name}: {remark()}");
                }
            }

            if (options.Parallel && operation.PrepareTwoCpus is { } prepare)
            {
                using TwoCpuWorkload work = prepare(options);
                TwoCpuSampler.Result result = TwoCpuSampler.Measure(work);
                string name = operation.Name + "_2cpu";
                Print(SubjectOf(operation, options), name, result.PerThread);
                Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"# {name}: throughput of two CPUs {result.MedianScaling:F2} times that of one (median), {result.BestScaling:F2} (best); by CPU time {result.CpuScaling:F2}"));
            }
        }

        return 0;
    }

    /// <summary>Runs every operation a few times and says whether it could: no figures.</summary>
    public static int Smoke(string? pattern)
    {
        foreach (bool parallel in (bool[])[false, true])
        {
            BenchmarkOptions options = new(parallel);
            foreach (Operation operation in OperationTable.Matching(pattern).Where(o => !parallel || o.HasParallelForm))
            {
                using Workload work = operation.Prepare(options);
                work.RunWhole(2);
                Console.WriteLine($"{SubjectOf(operation, options)},{operation.Name},ok");
            }
        }

        return 0;
    }

    /// <summary>Shows the JIT a mixture of everything that will be measured, so that no figure depends on what was measured before it.</summary>
    private static void Train(List<Operation> chosen, BenchmarkOptions options)
    {
        for (int round = 0; round < 3; round++)
        {
            foreach (Operation operation in chosen.Where(o => !o.Name.StartsWith("boot_", StringComparison.Ordinal)))
            {
                using Workload work = operation.Prepare(options);

                // A workload of a second a turn has run its code often enough after one call.
                double spent = 0;
                for (int call = 0; call < 20 && spent < TrainingMilliseconds; call++)
                {
                    spent += Sampler.Time(work, Math.Max(1, 64 / work.OperationsPerTurn));
                }
            }
        }
    }

    private static string SubjectOf(Operation operation, BenchmarkOptions options) =>
        options.Parallel && operation.Subject == "MemSim" ? "MemSim-parallel" : operation.Subject;

    private static void Print(string subject, string name, Figures figures) =>
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{subject},{name},{figures.Median:F2},{figures.Min:F2}"));
}
