namespace MemSim.Scenarios;

/// <summary>What a process of a scenario does, step by step: it makes regions of memory and touches their pages in patterns.</summary>
/// <remarks>Patterns, locks and unmapping are about the region made last. A touch writes or reads eight bytes of a page.</remarks>
public sealed class ProcessPlan
{
    private const long MaxChildren = 1_000_000;

    private readonly List<ScenarioStep> _steps = [];
    private bool _hasRegion;

    internal ProcessPlan()
    {
    }

    internal IReadOnlyList<ScenarioStep> Steps => _steps;

    internal int ScoreAdj { get; private set; }

    internal string Cgroup { get; private set; } = "";

    internal int? CpuId { get; private set; }

    /// <summary>Maps private anonymous memory.</summary>
    /// <param name="size">How much, e.g. <c>"64M"</c>.</param>
    public ProcessPlan Anonymous(ByteSize size) => Region(new ScenarioStep(StepKind.Anonymous) { Pages = PagesOf(size) });

    /// <summary>Maps shared anonymous memory: children of a fork tree use the same pages.</summary>
    /// <param name="size">How much.</param>
    public ProcessPlan SharedMemory(ByteSize size) => Region(new ScenarioStep(StepKind.SharedMemory) { Pages = PagesOf(size) });

    /// <summary>Uses the process's stack, which grows as it is touched; its limit must allow it (8 MiB unless changed).</summary>
    /// <param name="size">How far it may be used.</param>
    public ProcessPlan Stack(ByteSize size) => Region(new ScenarioStep(StepKind.Stack) { Pages = PagesOf(size) });

    /// <summary>Maps a whole file of the scenario.</summary>
    /// <param name="file">Its name (see <see cref="Scenario.File"/>).</param>
    /// <param name="shared">Whether writes go to the file; else to private copies.</param>
    public ProcessPlan MapFile(string file, bool shared = true) => Region(new ScenarioStep(StepKind.MapFile) { Name = Named(file), IsShared = shared });

    /// <summary>Touches page after page, again from the start at the end.</summary>
    /// <param name="touches">How often; 0: every page once.</param>
    /// <param name="stride">The distance of pages touched after each other.</param>
    public ProcessPlan Sequential(long touches = 0, int stride = 1)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(stride, 1);
        return Touch(new AccessPattern(AccessKind.Sequential, stride), touches);
    }

    /// <summary>Touches pages at random.</summary>
    /// <param name="touches">How often; 0: as often as there are pages.</param>
    public ProcessPlan Random(long touches = 0) => Touch(new AccessPattern(AccessKind.Random), touches);

    /// <summary>Touches pages by Zipf's law: the k-th most popular page with a probability proportional to 1/k^s.</summary>
    /// <param name="s">The exponent; 1 is the classic law, larger is more skewed.</param>
    /// <param name="touches">How often; 0: as often as there are pages.</param>
    public ProcessPlan Zipf(double s, long touches = 0) => s is > 0 and <= 10
        ? Touch(new AccessPattern(AccessKind.Zipf, s), touches)
        : throw new ArgumentOutOfRangeException(nameof(s), s, "the exponent of Zipf's law is above 0 and at most 10 here");

    /// <summary>Touches the end of a stack that grows and shrinks, from the region's end downwards.</summary>
    /// <param name="touches">How often; 0: as often as there are pages.</param>
    public ProcessPlan StackLike(long touches = 0) => Touch(new AccessPattern(AccessKind.StackLike), touches);

    /// <summary>Touches a hot part at the region's start more often than the rest.</summary>
    /// <param name="hotPart">The part of the pages that is hot, 0 to 1.</param>
    /// <param name="hotShare">The share of the touches that goes to them, 0 to 1.</param>
    /// <param name="touches">How often; 0: as often as there are pages.</param>
    public ProcessPlan HotCold(double hotPart, double hotShare, long touches = 0) =>
        Touch(new AccessPattern(AccessKind.HotCold, Part(hotPart, nameof(hotPart)), Part(hotShare, nameof(hotShare))), touches);

    /// <summary>The share of the last pattern's touches that write; all of them unless said.</summary>
    /// <param name="share">From 0 to 1.</param>
    public ProcessPlan WriteShare(double share)
    {
        if (_steps.Count == 0 || _steps[^1].Kind != StepKind.Touch)
        {
            throw new InvalidOperationException("a write share follows a pattern of touches");
        }

        _steps[^1] = _steps[^1] with { Share = Part(share, nameof(share)) };
        return this;
    }

    /// <summary>Reads a file of the scenario from start to end, through a buffer.</summary>
    /// <param name="file">Its name.</param>
    /// <param name="chunk">Bytes a call; 64 KiB when null.</param>
    /// <param name="times">How often.</param>
    public ProcessPlan ReadFile(string file, ByteSize? chunk = null, int times = 1) => Stream(StepKind.ReadFile, file, chunk, times);

    /// <summary>Writes a file of the scenario from start to end, through a buffer.</summary>
    /// <param name="file">Its name.</param>
    /// <param name="chunk">Bytes a call; 64 KiB when null.</param>
    /// <param name="times">How often.</param>
    public ProcessPlan WriteFile(string file, ByteSize? chunk = null, int times = 1) => Stream(StepKind.WriteFile, file, chunk, times);

    /// <summary>Makes a tree of children, waits for them; each child makes its own children, then repeats the last pattern on its copy of the memory, then ends.</summary>
    /// <param name="depth">Generations.</param>
    /// <param name="fanOut">Children of each process.</param>
    public ProcessPlan ForkTree(int depth, int fanOut)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(depth, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(depth, 20);
        ArgumentOutOfRangeException.ThrowIfLessThan(fanOut, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(fanOut, 1000);
        ScenarioStep step = new(StepKind.Fork) { Depth = depth, FanOut = fanOut };
        long processes = ScenarioSize.Children(step);
        return processes <= MaxChildren ? Add(step) : throw new ArgumentOutOfRangeException(nameof(depth), $"a tree of {processes} processes is too large: at most {MaxChildren}");
    }

    /// <summary>Locks the region's pages into memory.</summary>
    public ProcessPlan Lock() => AboutRegion(new ScenarioStep(StepKind.Lock));

    /// <summary>Unmaps the region made last; the one before it is then the last.</summary>
    public ProcessPlan Unmap() => AboutRegion(new ScenarioStep(StepKind.Unmap));

    /// <summary>Has the kernel allocate blocks that cannot move, and keep a part of them until the scenario ends: what fragments memory.</summary>
    /// <param name="blocks">How many blocks.</param>
    /// <param name="order">Their order.</param>
    /// <param name="keep">The part kept, chosen at random, 0 to 1; the others are freed at the end of the step.</param>
    public ProcessPlan KernelPages(long blocks, int order = 0, double keep = 1) =>
        Add(new ScenarioStep(StepKind.KernelPages) { Count = Blocks(blocks), Depth = Order(order), Share = Part(keep, nameof(keep)) });

    /// <summary>Asks the kernel for movable blocks, one after the other, counts those that cannot be had, and frees the others at the end of the step.</summary>
    /// <param name="blocks">How many.</param>
    /// <param name="order">Their order.</param>
    public ProcessPlan TryBlocks(long blocks, int order) => Add(new ScenarioStep(StepKind.TryBlocks) { Count = Blocks(blocks), Depth = Order(order) });

    /// <summary>Keeps what it has until the scenario ends, instead of ending after its last step.</summary>
    public ProcessPlan Stay() => Add(new ScenarioStep(StepKind.Stay));

    /// <summary>What the OOM killer adds to its badness.</summary>
    /// <param name="value">From -1000 (never kill it) to 1000.</param>
    public ProcessPlan OomScoreAdj(int value)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(value, -1000);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value, 1000);
        ScoreAdj = value;
        return this;
    }

    /// <summary>Puts it, and its children, into a cgroup of the scenario.</summary>
    /// <param name="path">The cgroup's path.</param>
    public ProcessPlan InCgroup(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        Cgroup = path;
        return this;
    }

    /// <summary>Runs it, and its children, on one CPU; else processes are dealt to the CPUs in turn.</summary>
    /// <param name="cpu">The CPU's number.</param>
    public ProcessPlan OnCpu(int cpu)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(cpu);
        CpuId = cpu;
        return this;
    }

    private ProcessPlan Touch(AccessPattern pattern, long touches)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(touches);
        return AboutRegion(new ScenarioStep(StepKind.Touch) { Pattern = pattern, Count = touches });
    }

    private ProcessPlan Stream(StepKind kind, string file, ByteSize? chunk, int times)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(times, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((chunk ?? default).Bytes, 64UL << 20, nameof(chunk));
        return Add(new ScenarioStep(kind) { Name = Named(file), Pages = PagesOf(chunk ?? ByteSize.FromKiB(64)), Count = times });
    }

    private ProcessPlan Region(ScenarioStep step)
    {
        _hasRegion = true;
        return Add(step);
    }

    private ProcessPlan AboutRegion(ScenarioStep step) => _hasRegion
        ? Add(step)
        : throw new InvalidOperationException("there is no region yet: begin with Anonymous, SharedMemory, Stack or MapFile");

    private ProcessPlan Add(ScenarioStep step)
    {
        _steps.Add(step);
        return this;
    }

    private static long PagesOf(ByteSize size)
    {
        ArgumentOutOfRangeException.ThrowIfZero(size.Bytes, nameof(size));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(size.Bytes, 1UL << 46, nameof(size));
        return (long)((size.Bytes + PageGeometry.PageSize - 1) >> PageGeometry.PageShift);
    }

    private static double Part(double value, string name) => value is >= 0 and <= 1 ? value : throw new ArgumentOutOfRangeException(name, value, "a part is from 0 to 1");

    private static long Blocks(long blocks)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(blocks, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(blocks, int.MaxValue);
        return blocks;
    }

    private static int Order(int order)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(order);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(order, PageGeometry.MaxOrder);
        return order;
    }

    private static string Named(string file)
    {
        ArgumentException.ThrowIfNullOrEmpty(file);
        return file;
    }
}
