using MemSim.Captures;

namespace MemSim.Scenarios;

/// <summary>Reads scenario files; what the file gets wrong is said with its line.</summary>
internal static class ScenarioFileReader
{
    private const int MaxCpus = 1024;

    public static ScenarioFile Read(ReadOnlySpan<byte> json, string path)
    {
        JsonCursor cursor = new(json, path);
        ScenarioFile file = new(path);
        cursor.BeginDocument();
        while (cursor.NextField(out string name))
        {
            switch (name)
            {
                case "description":
                    file.Description = cursor.Text();
                    break;
                case "machine":
                    ReadMachine(ref cursor, file);
                    break;
                case "seed":
                    file.Seed = cursor.Address();
                    break;
                case "interleave":
                    file.Interleave = cursor.Int(1, 1 << 20);
                    break;
                case "samples":
                    file.Samples = cursor.Int(0, 10_000);
                    break;
                case "files":
                    ReadFiles(ref cursor, file);
                    break;
                case "cgroups":
                    ReadCgroups(ref cursor, file);
                    break;
                case "phases":
                    ReadPhases(ref cursor, file);
                    break;
                default:
                    throw cursor.Fault($"a scenario has no '{name}': description, machine, seed, interleave, samples, files, cgroups, phases");
            }
        }

        cursor.EndDocument();
        return file.Phases.Count != 0 ? file : throw new InputFileException(path, 0, "a scenario needs phases");
    }

    private static void ReadMachine(ref JsonCursor cursor, ScenarioFile file)
    {
        cursor.BeginObject();
        while (cursor.NextField(out string name))
        {
            switch (name)
            {
                case "arch":
                    file.Architecture = cursor.Text() switch
                    {
                        "x86_64" => Architecture.X86_64,
                        "x86_32" => Architecture.X86_32,
                        "x86_32-pae" => Architecture.X86_32Pae,
                        "arm64" => Architecture.Arm64,
                        string other => throw cursor.Fault($"there is no architecture '{other}', only x86_64, x86_32, x86_32-pae and arm64"),
                    };
                    break;
                case "memory":
                    file.Memory = Size(ref cursor);
                    break;
                case "cpus":
                    file.Cpus = cursor.Int(1, MaxCpus);
                    break;
                case "swap":
                    file.Swap = Size(ref cursor);
                    break;
                case "swap_disk":
                    file.SwapDisk = Size(ref cursor);
                    break;
                case "zswap":
                    cursor.BeginObject();
                    while (cursor.NextField(out string parameter))
                    {
                        file.Zswap.Add((parameter, cursor.Text(), cursor.Line));
                    }

                    break;
                case "cmdline":
                    file.CommandLine = cursor.Text();
                    break;
                case "sysctl":
                    cursor.BeginObject();
                    while (cursor.NextField(out string sysctl))
                    {
                        file.Sysctls.Add((sysctl, cursor.Text(), cursor.Line));
                    }

                    break;
                default:
                    throw cursor.Fault($"a machine has no '{name}': arch, memory, cpus, swap, swap_disk, zswap, cmdline, sysctl");
            }
        }
    }

    private static void ReadFiles(ref JsonCursor cursor, ScenarioFile file)
    {
        cursor.BeginArray();
        while (cursor.NextElement())
        {
            cursor.BeginObject();
            int line = cursor.Line;
            string? called = null;
            ByteSize size = default;
            while (cursor.NextField(out string name))
            {
                switch (name)
                {
                    case "name":
                        called = cursor.Text();
                        break;
                    case "size":
                        size = Size(ref cursor);
                        break;
                    default:
                        throw cursor.Fault($"a file has no '{name}': name, size");
                }
            }

            file.Files.Add(string.IsNullOrEmpty(called) || size.Bytes == 0 ? throw cursor.Fault("a file needs a name and a size") : (called, size, line));
        }
    }

    private static void ReadCgroups(ref JsonCursor cursor, ScenarioFile file)
    {
        cursor.BeginArray();
        while (cursor.NextElement())
        {
            cursor.BeginObject();
            int line = cursor.Line;
            string? path = null;
            List<(string, string)> files = [];
            while (cursor.NextField(out string name))
            {
                switch (name)
                {
                    case "path":
                        path = Path(ref cursor);
                        break;
                    case "files":
                        cursor.BeginObject();
                        while (cursor.NextField(out string called))
                        {
                            files.Add((called, cursor.Text()));
                        }

                        break;
                    default:
                        throw cursor.Fault($"a cgroup has no '{name}': path, files");
                }
            }

            file.Cgroups.Add(string.IsNullOrEmpty(path) ? throw cursor.Fault("a cgroup needs a path") : (path, files, line));
        }
    }

    private static void ReadPhases(ref JsonCursor cursor, ScenarioFile file)
    {
        cursor.BeginArray();
        while (cursor.NextElement())
        {
            cursor.BeginObject();
            string phase = "";
            List<(string, ProcessPlan, int, int)> processes = [];
            while (cursor.NextField(out string name))
            {
                switch (name)
                {
                    case "name":
                        phase = cursor.Text();
                        break;
                    case "processes":
                        cursor.BeginArray();
                        while (cursor.NextElement())
                        {
                            processes.Add(ReadProcess(ref cursor));
                        }

                        break;
                    default:
                        throw cursor.Fault($"a phase has no '{name}': name, processes");
                }
            }

            file.Phases.Add((phase, processes));
        }
    }

    private static (string, ProcessPlan, int, int) ReadProcess(ref JsonCursor cursor)
    {
        cursor.BeginObject();
        int line = cursor.Line;
        string? called = null;
        int count = 1;
        ProcessPlan plan = new();
        while (cursor.NextField(out string name))
        {
            switch (name)
            {
                case "name":
                    called = cursor.Text();
                    break;
                case "count":
                    count = cursor.Int(1, 100_000);
                    break;
                case "oom_score_adj":
                    plan.OomScoreAdj(cursor.Int(-1000, 1000));
                    break;
                case "cgroup":
                    plan.InCgroup(Path(ref cursor));
                    break;
                case "cpu":
                    plan.OnCpu(cursor.Int(0, MaxCpus - 1));
                    break;
                case "steps":
                    cursor.BeginArray();
                    while (cursor.NextElement())
                    {
                        ScenarioFileStep.Read(ref cursor).AddTo(plan, ref cursor);
                    }

                    break;
                default:
                    throw cursor.Fault($"a process has no '{name}': name, count, oom_score_adj, cgroup, cpu, steps");
            }
        }

        return string.IsNullOrEmpty(called) ? throw cursor.Fault("a process needs a name") : (called, plan, count, line);
    }

    public static ByteSize Size(ref JsonCursor cursor) =>
        ByteSize.TryParse(cursor.Text(), out ByteSize size) ? size : throw cursor.Fault($"'{cursor.Text()}' is not an amount of memory (digits and one of K, M, G, T)");

    /// <summary>The path of a cgroup.</summary>
    private static string Path(ref JsonCursor cursor) => cursor.Text() is { Length: > 0 } path ? path : throw cursor.Fault("the path of the cgroup is empty");
}
