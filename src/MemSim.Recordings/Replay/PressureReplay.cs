using System.Text.RegularExpressions;
using MemSim.Captures;
using MemSim.Kernels;
using MemSim.Recordings.Workloads;

namespace MemSim.Recordings;

/// <summary>How near a figure of a program under pressure has to come to the recording.</summary>
public enum PressureClass
{
    /// <summary>It repeats exactly on a real kernel: it has to be equal.</summary>
    Exact,

    /// <summary>It repeats within two percent there: within five here.</summary>
    Close,

    /// <summary>It does not repeat: within a factor of two.</summary>
    Magnitude,
}

/// <summary>A figure of a program under pressure.</summary>
/// <param name="Name">A line of <c>/proc/vmstat</c>, or a cgroup's file and row: <c>a memory.events max</c>.</param>
/// <param name="Recorded">On the recorded machine.</param>
/// <param name="Simulated">On the twin.</param>
/// <param name="Class">How near it has to come.</param>
public sealed record PressureFigure(string Name, long Recorded, long Simulated, PressureClass Class)
{
    /// <summary>Whether it is near enough. Numbers below 33 say little: they match those that are no more than 32 away, where equality is not asked for.</summary>
    public bool Matches => Class switch
    {
        PressureClass.Exact => Recorded == Simulated,
        PressureClass.Close => Math.Abs(Recorded - Simulated) <= Math.Max(32, Recorded / 20),
        _ => (Recorded <= 2 * Simulated && Simulated <= 2 * Recorded) || Math.Abs(Recorded - Simulated) <= 32,
    };
}

/// <summary>Runs the recorded programs under pressure again (<c>script.sh</c>: cgroups with limits, readers, hogs, swap) and compares what reclaim did and what the cgroups' files say.</summary>
/// <remarks>
/// <para>The machine is the twin of the recording's first step, with as many pages free in each zone as there were, those counted in that cgroups have by then; the programs are done anew. Lines of <c>/proc/vmstat</c> are
/// compared by how much they grew from the first step to the last, a cgroup's events and peak by their value at the last step at which it is there, what zswap and zram say of themselves
/// by its value at the last step before the programs end.</para>
/// </remarks>
public static partial class PressureReplay
{
    private static readonly string[] VmStat =
    [
        "pgscan_anon", "pgscan_file", "pgsteal_anon", "pgsteal_file", "workingset_refault_anon", "workingset_refault_file", "workingset_activate_file", "pswpin", "pswpout", "pgmajfault", "oom_kill",
        "thp_fault_alloc", "thp_fault_fallback_charge", "zswpin", "zswpout", "zswpwb",
    ];

    /// <summary>Rows of a cgroup's files that say what of it is compressed.</summary>
    private static readonly string[] CompressedOfCgroup = ["memory.stat zswap", "memory.stat zswapped", "memory.stat zswpin", "memory.stat zswpout", "memory.stat zswpwb", "memory.zswap.current"];

    /// <summary>Of these what reclaim scans differs more from run to run than what it frees.</summary>
    private static readonly string[] Loose = ["pgscan_anon", "pgscan_file", "workingset_activate_file", "pgmajfault", "workingset_activate_anon"];

    /// <summary>Whether a folder holds such a recording.</summary>
    /// <param name="directory">The folder.</param>
    public static bool CanRun(string directory) => File.Exists(Path.Combine(directory, "script.sh"));

    /// <summary>Runs a recorded program.</summary>
    /// <param name="directory">The recording's folder: <c>script.sh</c>, <c>note.txt</c> and the steps.</param>
    /// <param name="kernel">Whose rules to follow; null for the kernel that <c>note.txt</c> names.</param>
    /// <param name="verify">Whether the machine's invariants are checked at each step.</param>
    /// <returns>The figures, in a fixed order.</returns>
    /// <exception cref="InputFileException">A file is missing or malformed, or the script asks for what is not known.</exception>
    public static IReadOnlyList<PressureFigure> Run(string directory, KernelChoice? kernel = null, bool verify = false) => Run(directory, null, kernel, verify);

    /// <summary>The same, with a look at the machine at each step.</summary>
    internal static IReadOnlyList<PressureFigure> Run(string directory, Action<Machine, string>? step, KernelChoice? kernel = null, bool verify = false)
    {
        ArgumentNullException.ThrowIfNull(directory);
        string scriptPath = Path.Combine(directory, "script.sh");
        string script = Handles().Replace(Read(scriptPath), "");
        List<string> steps = [.. Directory.GetDirectories(directory, "step*").Order(StringComparer.Ordinal)];
        if (steps.Count == 0)
        {
            throw new InputFileException(directory, 0, "has no steps");
        }

        kernel ??= KernelOf(Path.Combine(directory, "note.txt"));
        using Machine machine = Machine.Boot(MachineSpec.FromProc(steps[0], kernel).AsBooted());
        machine.Reclaim.Enable();
        if (machine.HugePages.IsAvailable)
        {
            machine.HugePages.Assume(Path.GetFileName(directory).Contains("-thp", StringComparison.Ordinal) ? TransparentHugePages.Always : TransparentHugePages.Never);
        }

        WorkCosts costs = WorkCosts.EmulatedOnOneCpu;
        TimeShares time = TimeShares.Of(machine, costs);
        List<PressureStep> taken = [];
        using PressurePrograms programs = new(machine, time, costs, scriptPath, (name, zram) =>
        {
            if (verify)
            {
                machine.Lru.DrainAll();
                machine.Verify();
            }

            taken.Add(PressureStep.Of(machine, zram));
            step?.Invoke(machine, name);
        })
        {
            ReadAheadPages = (uint)kernel.Line.Reclaim.DiskReadAheadPages,
        };
        PressureStep first = PressureStep.Read(steps[0]);
        IReadOnlyDictionary<string, long> start = first.VmStat;
        programs.Cache(Math.Clamp(start.GetValueOrDefault("nr_inactive_file") + start.GetValueOrDefault("nr_active_file") - first.PagesOfCgroups("memory.stat file"), 0, 1 << 14));

        // What cgroups have at the first step programs took before it, which are run again.
        WorkloadReplay.TakeKernelPages(machine, ZoneInfoFile.Read(Path.Combine(steps[0], "zoneinfo")), leave: first.PagesOfCgroups("memory.current"));
        new ShellScript(scriptPath, programs.Run, programs.Exists).Run(script);
        return taken.Count != 0 ? Compare(directory, steps, taken) : throw new InputFileException(scriptPath, 0, "the script takes no step that could be compared");
    }

    private static List<PressureFigure> Compare(string directory, List<string> steps, List<PressureStep> taken)
    {
        string program = ProgramOf(directory);
        List<PressureStep> recorded = [.. steps.Select(PressureStep.Read)];
        List<PressureFigure> figures = [];
        PressureStep first = taken[0];
        PressureStep last = taken[^1];
        foreach (string row in VmStat)
        {
            if (recorded[0].VmStat.TryGetValue(row, out long before))
            {
                if (!recorded[^1].VmStat.TryGetValue(row, out long after))
                {
                    throw new InputFileException(Path.Combine(steps[^1], "vmstat"), 0, $"{row} is missing, which {Path.GetFileName(steps[0])} has");
                }

                long was = after - before;
                long now = last.VmStat.GetValueOrDefault(row) - first.VmStat.GetValueOrDefault(row);
                if (was != 0 || now != 0)
                {
                    figures.Add(new PressureFigure(row, was, now, ClassOf(program, row)));
                }
            }
        }

        foreach (string cgroup in recorded.SelectMany(step => step.Cgroups.Keys).Distinct().Order(StringComparer.Ordinal))
        {
            IReadOnlyDictionary<string, long> was = recorded.Last(step => step.Cgroups.ContainsKey(cgroup)).Cgroups[cgroup];
            IReadOnlyDictionary<string, long> now = taken.LastOrDefault(step => step.Cgroups.ContainsKey(cgroup))?.Cgroups[cgroup] ?? new Dictionary<string, long>();
            foreach (string row in was.Keys.Where(row => row == "memory.peak" || row.StartsWith("memory.events ", StringComparison.Ordinal)).Order(StringComparer.Ordinal))
            {
                long value = now.GetValueOrDefault(row);
                if (was[row] != 0 || value != 0)
                {
                    figures.Add(new PressureFigure($"{cgroup} {row}", was[row], value, ClassOf(program, row)));
                }
            }
        }

        CompareCompressed(steps, recorded, taken, figures);
        return figures;
    }

    /// <summary>What zswap and zram say, and the cgroups of it: at the last step at which the programs still had their memory, since little is left behind them.</summary>
    private static void CompareCompressed(List<string> steps, List<PressureStep> recorded, List<PressureStep> taken, List<PressureFigure> figures)
    {
        int step = Math.Min(recorded.Count, taken.Count) - 1;
        step -= step > 0 && steps[step].EndsWith("-exited", StringComparison.Ordinal) ? 1 : 0;
        foreach ((string row, long was) in recorded[step].Compressed.OrderBy(row => row.Key, StringComparer.Ordinal))
        {
            AddFigure(row, was, taken[step].Compressed.GetValueOrDefault(row));
        }

        foreach ((string cgroup, IReadOnlyDictionary<string, long> rows) in recorded[step].Cgroups.OrderBy(group => group.Key, StringComparer.Ordinal))
        {
            foreach (string row in CompressedOfCgroup.Where(rows.ContainsKey))
            {
                AddFigure($"{cgroup} {row}", rows[row], taken[step].Cgroups.GetValueOrDefault(cgroup)?.GetValueOrDefault(row) ?? 0);
            }
        }

        void AddFigure(string name, long was, long now)
        {
            if (was != 0 || now != 0)
            {
                figures.Add(new PressureFigure(name, was, now, PressureClass.Magnitude));
            }
        }
    }

    private static string ProgramOf(string directory)
    {
        Match match = Program().Match(Path.GetFileName(Path.GetFullPath(directory).TrimEnd(Path.DirectorySeparatorChar)));
        return match.Success ? match.Groups[1].Value : "";
    }

    /// <summary>What repeats, by the recordings of two runs each: everything where files alone are reclaimed or nothing can be; what is freed and moved where a cgroup swaps; little where kswapd works beside.</summary>
    private static PressureClass ClassOf(string program, string row)
    {
        bool all = program.StartsWith("cg-max-file", StringComparison.Ordinal) || program.StartsWith("cg-max-oom", StringComparison.Ordinal);
        bool limited = all || program.StartsWith("cg-max", StringComparison.Ordinal) || program.StartsWith("cg-high", StringComparison.Ordinal) || program.StartsWith("cg-reclaim", StringComparison.Ordinal);
        if (all && row is not ("pgmajfault" or "workingset_activate_file"))
        {
            return PressureClass.Exact;
        }

        if (row is "memory.peak" && limited && !program.StartsWith("cg-reclaim", StringComparison.Ordinal))
        {
            return PressureClass.Exact;
        }

        return limited && !Loose.Contains(row) ? PressureClass.Close : PressureClass.Magnitude;
    }

    private static KernelChoice KernelOf(string path)
    {
        Match version = Version().Match(Read(path));
        string text = version.Groups[1].Value;
        return version.Success ? KernelChoice.TryFor(text, out KernelChoice? kernel) ? kernel : throw new InputFileException(path, 0, $"'{text}' is no kernel version (like 6.1.0)") : throw new InputFileException(path, 0, "names no kernel: a line 'Linux version ...' is missing");
    }

    private static string Read(string path)
    {
        using StreamReader reader = InputFile.OpenText(path);
        return reader.ReadToEnd();
    }

    [GeneratedRegex(@"Linux version (\S+)")]
    private static partial Regex Version();

    [GeneratedRegex(@"-smp\d+-(.+)$")]
    private static partial Regex Program();

    /// <summary>Redirections that close a file: nothing is left open here.</summary>
    [GeneratedRegex(@"\d[<>]&-")]
    private static partial Regex Handles();
}
