using BenchmarkDotNet.Running;
using MemSim.Benchmarks.Growth;
using MemSim.Benchmarks.Harness;

namespace MemSim.Benchmarks;

/// <summary>The entry: <c>--csv</c>, <c>--growth</c>, <c>--smoke</c> and <c>--list-operations</c> are ours, everything else is BenchmarkDotNet's.</summary>
internal static class Program
{
    public static int Main(string[] args)
    {
        if (args.Contains("--growth"))
        {
            return RunGrowth(args);
        }

        bool csv = args.Contains("--csv");
        if (csv || args.Contains("--smoke") || args.Contains("--list-operations"))
        {
            return RunOwn(args);
        }

        BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
        return 0;
    }

    private static int RunGrowth(string[] args)
    {
        string? only = null;
        string? picture = null;
        for (int i = 0; i < args.Length; i++)
        {
            switch (args[i])
            {
                case "--growth" or "--quick":
                    break;
                case "--only" when i + 1 < args.Length:
                    only = args[++i];
                    break;
                case "--picture" when i + 1 < args.Length:
                    picture = args[++i];
                    break;
                default:
                    Console.Error.WriteLine($"unknown argument '{args[i]}': --growth [--only PART,PART] [--picture FILE.svg] [--quick]");
                    return 2;
            }
        }

        return GrowthRunner.Run(only, picture, args.Contains("--quick"));
    }

    private static int RunOwn(string[] args)
    {
        string? pattern = null;
        bool parallel = false;
        for (int i = 0; i < args.Length; i++)
        {
            switch (args[i])
            {
                case "--csv" or "--smoke" or "--list-operations":
                    break;
                case "--parallel":
                    parallel = true;
                    break;
                case "--only" when i + 1 < args.Length:
                    pattern = args[++i];
                    break;
                default:
                    Console.Error.WriteLine($"unknown argument '{args[i]}': --csv [--only PATTERN] [--parallel], --smoke [--only PATTERN], --list-operations, or BenchmarkDotNet's own");
                    return 2;
            }
        }

        if (args.Contains("--list-operations"))
        {
            foreach (Operation operation in OperationTable.Matching(pattern))
            {
                Console.WriteLine($"{operation.Subject},{operation.Name}");
            }

            return 0;
        }

        return args.Contains("--smoke") ? CsvRunner.Smoke(pattern) : CsvRunner.Run(new BenchmarkOptions(parallel), pattern);
    }
}
