namespace MemSim.Scenarios;

/// <summary>Processes with access patterns that run on a machine, interleaved, and a report of what the kernel had to do: faults, TLB misses, cost, memory over time.</summary>
/// <remarks>Everything follows from the machine's state and the seed. Processes take turns of <see cref="Interleave"/> touches.</remarks>
/// <example><code>
/// ScenarioReport report = Scenario.On(machine)
///     .Process("web", p => p.Anonymous("64M").Zipf(1.1, touches: 100_000).WriteShare(0.3).ForkTree(depth: 3, fanOut: 2))
///     .Process("log", p => p.WriteFile("access.log"))
///     .File("access.log", "16M")
///     .Run();
/// Console.Write(report.ToText());
/// </code></example>
public sealed class Scenario
{
    private readonly List<ScenarioPhase> _phases = [];
    private readonly Dictionary<string, long> _files = new(StringComparer.Ordinal);
    private readonly Dictionary<string, (string File, string Text)[]> _cgroups = new(StringComparer.Ordinal);
    private readonly List<string> _cgroupOrder = [];
    private bool _hasRun;

    private Scenario(Machine machine)
    {
        Machine = machine;
        _phases.Add(new ScenarioPhase(""));
    }

    internal Machine Machine { get; }

    internal IReadOnlyList<ScenarioPhase> Phases => _phases;

    /// <summary>Sizes of the files in pages, by name.</summary>
    internal IReadOnlyDictionary<string, long> Files => _files;

    /// <summary>What is written to the files of cgroups, by path.</summary>
    internal IReadOnlyDictionary<string, (string File, string Text)[]> Cgroups => _cgroups;

    /// <summary>The paths of cgroups, as they were described.</summary>
    internal IReadOnlyList<string> CgroupPaths => _cgroupOrder;

    internal ulong RandomSeed { get; private set; } = 1;

    internal int TurnTouches { get; private set; } = 64;

    internal int WantedSamples { get; private set; } = 32;

    /// <summary>Begins the description of a scenario.</summary>
    /// <param name="machine">The machine it will run on, booted with contents of RAM.</param>
    public static Scenario On(Machine machine)
    {
        ArgumentNullException.ThrowIfNull(machine);
        return new Scenario(machine);
    }

    internal BlockDeviceCosts DiskCosts { get; private set; } = BlockDeviceCosts.SolidState;

    /// <summary>What all that is random comes from; 1 unless said.</summary>
    /// <param name="seed">Any number.</param>
    public Scenario Seed(ulong seed)
    {
        RandomSeed = seed;
        return this;
    }

    /// <summary>How many touches a process makes before it is another one's turn; 64 unless said.</summary>
    /// <param name="touches">At least 1.</param>
    public Scenario Interleave(int touches)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(touches, 1);
        TurnTouches = touches;
        return this;
    }

    /// <summary>About how many samples of the machine are taken on the way, evenly over the touches; 32 unless said.</summary>
    /// <param name="count">From 0 to 10,000; those at the start, the end and between phases come on top.</param>
    public Scenario Samples(int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, 10_000);
        WantedSamples = count;
        return this;
    }

    /// <summary>Makes a file before the scenario starts, which processes read, write and map.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="size">Its size; rounded up to pages.</param>
    public Scenario File(string name, ByteSize size)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentOutOfRangeException.ThrowIfZero(size.Bytes, nameof(size));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(size.Bytes, 1UL << 43, nameof(size));
        if (!_files.TryAdd(name, (long)((size.Bytes + PageGeometry.PageSize - 1) >> PageGeometry.PageShift)))
        {
            throw new ArgumentException($"there are two files '{name}'", nameof(name));
        }

        return this;
    }

    /// <summary>How slow the disk is on which the files lie; a solid-state one unless said.</summary>
    /// <param name="costs">The times.</param>
    public Scenario Disk(BlockDeviceCosts costs)
    {
        ArgumentNullException.ThrowIfNull(costs);
        DiskCosts = costs;
        return this;
    }

    /// <summary>Makes a cgroup before the scenario starts, for processes that say <see cref="ProcessPlan.InCgroup"/>; cgroups above it come first. It is removed afterwards.</summary>
    /// <param name="path">Its path, e.g. <c>"/pod"</c>.</param>
    /// <param name="files">What is written to its files, e.g. <c>("memory.max", "512M")</c>.</param>
    /// <exception cref="ArgumentException">The path was described before.</exception>
    public Scenario Cgroup(string path, params (string File, string Text)[] files)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(files);
        if (!_cgroups.TryAdd(path, files))
        {
            throw new ArgumentException($"there are two cgroups '{path}'", nameof(path));
        }

        _cgroupOrder.Add(path);
        return this;
    }

    /// <summary>Adds processes to the phase.</summary>
    /// <param name="name">Their name.</param>
    /// <param name="plan">Says what each does.</param>
    /// <param name="count">How many; each has random numbers of its own.</param>
    public Scenario Process(string name, Action<ProcessPlan> plan, int count = 1)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, 100_000);
        ProcessPlan described = new();
        plan(described);
        return Add(name, described, count);
    }

    internal Scenario Add(string name, ProcessPlan plan, int count)
    {
        if (plan.CpuId is { } cpu && cpu >= Machine.Cpus.Count)
        {
            throw new ArgumentException($"process '{name}': there is no CPU {cpu}, only {Machine.Cpus.Count}", nameof(plan));
        }

        _phases[^1].Processes.Add((name, plan, count));
        return this;
    }

    /// <summary>Adds processes that make a tree of children over memory they have filled.</summary>
    /// <param name="depth">Generations of children.</param>
    /// <param name="fanOut">Children of each process.</param>
    /// <param name="size">Memory of the first process; 4 MiB when null.</param>
    /// <param name="name">Their name.</param>
    public Scenario ForkTree(int depth, int fanOut, ByteSize? size = null, string name = "forktree") =>
        Process(name, p => p.Anonymous(size ?? ByteSize.FromMiB(4)).Sequential().ForkTree(depth, fanOut));

    /// <summary>Begins another phase: its processes start when all of the one before have ended or stay.</summary>
    /// <param name="phase">Its name, for the report.</param>
    public Scenario Then(string phase)
    {
        ArgumentNullException.ThrowIfNull(phase);
        _phases.Add(new ScenarioPhase(phase));
        return this;
    }

    /// <summary>Names the phase that is being described.</summary>
    /// <param name="name">Its name, for the report.</param>
    public Scenario Phase(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        _phases[^1].Name = name;
        return this;
    }

    /// <summary>About how many touches there will be: for progress.</summary>
    public long PlannedTouches()
    {
        long touches = 0;
        foreach (ScenarioPhase phase in _phases)
        {
            foreach ((_, ProcessPlan plan, int count) in phase.Processes)
            {
                touches += count * ScenarioSize.Touches(plan.Steps, _files);
            }
        }

        return touches;
    }

    /// <summary>Runs it. Afterwards all its processes, files and blocks are gone.</summary>
    /// <param name="progress">Is told the touches made so far, now and then; may throw to stop the scenario.</param>
    /// <exception cref="ArgumentException">A process uses a file that was not described.</exception>
    /// <exception cref="InvalidOperationException">It has run before, or there is not even memory to start a process.</exception>
    public ScenarioReport Run(IProgress<long>? progress = null)
    {
        if (_hasRun)
        {
            throw new InvalidOperationException("a scenario runs once: describe it again");
        }

        _hasRun = true;
        return new ScenarioRun(this, progress).Run();
    }
}
