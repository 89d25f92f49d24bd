using System.Text.Json;
using MemSim.Boot;
using MemSim.Hardware;
using MemSim.Kernels;
using MemSim.Observability;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace MemSim.Tests;

/// <summary>Machines whose free lists are exactly what a test says, in the words of the field: <c>With().FreeBlocks(order: 3, count: 5)</c>.</summary>
internal static class TestMachines
{
    /// <summary>A machine to be described: one CPU, no watermarks, per-CPU lists that keep nothing, every page in use until said otherwise.</summary>
    public static MachineBuilder With() => new();

    /// <summary>The complete state of the allocator as text: equal before and after means that nothing changed.</summary>
    public static string StateText(this Machine machine)
    {
        string state = JsonSerializer.Serialize(StateCapture.Capture(machine, "snapshot"));
        string counters = string.Join('\n', machine.Zones.SelectMany(z => z.Pcp).Select(p => $"{p.PagesAllocated} {p.NumaHit} {p.NumaMiss} {p.NumaForeign} {p.NumaInterleave}"));
        return $"{state}\n{counters}\n{machine.Reports.AllocationFailures}";
    }

    /// <summary>Free blocks as <c>order:count</c> of every order that has some, lowest first.</summary>
    public static string FreeBlockCounts(this Zone zone) =>
        string.Join(' ', Enumerable.Range(0, PageGeometry.OrderCount).Where(o => zone.FreeBlocks(o) != 0).Select(o => $"{o}:{zone.FreeBlocks(o)}"));

    /// <summary>The first populated zone.</summary>
    public static Zone OnlyZone(this Machine machine) => machine.Zones.First(z => z.IsPopulated);

    /// <summary>Allocates blocks until a request fails.</summary>
    public static List<Page> AllocateAll(this Cpu cpu, Gfp gfp, int order = 0)
    {
        List<Page> pages = [];
        for (Page page = cpu.AllocPages(gfp | Gfp.NoWarn, order); !page.IsNull; page = cpu.AllocPages(gfp | Gfp.NoWarn, order))
        {
            pages.Add(page);
        }

        return pages;
    }

    /// <summary>A request that may take the very last page, without any right but that.</summary>
    public static Page TakeIgnoringWatermarks(this Cpu cpu, int order = 0) => cpu.AllocPages(Gfp.MemAlloc | Gfp.NoWarn, order);
}

/// <summary>Describes a machine by its free blocks. Blocks are laid out so that no two of them are buddies.</summary>
internal sealed class MachineBuilder
{
    private const long FirstFrame = 4096;
    private const int PageblockOrder = 9;

    private readonly List<ZoneState> _zones = [];
    private readonly List<int> _cpuNodes = [0];
    private (long Min, long Low, long High) _marks;
    private (int High, int Batch) _pcp = (0, 1);
    private int _statThreshold;
    private long _cursor;
    private MigrateType? _cursorType;
    private bool _parallel;
    private IInterleaver? _interleaver;
    private bool _owners;
    private BugPolicy _policy;
    private ILoggerFactory _logger = NullLoggerFactory.Instance;
    private KernelPersonality? _personality;

    /// <summary>Starts another zone, behind those before.</summary>
    public MachineBuilder Zone(ZoneType type, long pages = 16384, int node = 0)
    {
        long start = _zones.Count == 0 ? FirstFrame : Align(_zones[^1].StartPfn + _zones[^1].SpannedPages, PageGeometry.MaxOrder);
        _zones.Add(new ZoneState
        {
            Node = node,
            Type = type,
            StartPfn = start,
            SpannedPages = pages,
            PresentPages = pages,
            ManagedPages = pages,
            LowmemReserve = new long[8],
            FirstPageblock = start >> PageblockOrder,
            Pageblocks = [.. Enumerable.Repeat((byte)MigrateType.Movable, (int)((pages + 511) >> PageblockOrder))],
            FreeLists = [.. Enumerable.Range(0, PageGeometry.OrderCount).Select(_ => Enumerable.Range(0, 6).Select(_ => Array.Empty<long>()).ToArray())],
        });
        _cursor = start;
        _cursorType = null;
        return this;
    }

    /// <summary>Free blocks in the current zone, none of which can merge; the page blocks they lie in get their type.</summary>
    public MachineBuilder FreeBlocks(int order, int count, MigrateType type = MigrateType.Movable)
    {
        ZoneState zone = Current();
        if (_cursorType is not null && _cursorType != type)
        {
            _cursor = Align(_cursor, PageblockOrder);
        }

        _cursorType = type;
        int step = Math.Min(order + 1, PageGeometry.MaxOrder);
        for (int i = 0; i < count; i++)
        {
            long pfn = Align(_cursor, step);
            _cursor = pfn + (1L << step);
            zone.FreeLists[order][(int)type] = [.. zone.FreeLists[order][(int)type], pfn];
            for (long block = pfn >> PageblockOrder; block <= (pfn + (1L << order) - 1) >> PageblockOrder; block++)
            {
                zone.Pageblocks[block - zone.FirstPageblock] = (byte)type;
            }

            zone.FreePages += 1L << order;
        }

        return this;
    }

    /// <summary>Leaves the rest of the current page block in use, so that what follows lies in another one.</summary>
    public MachineBuilder NextPageblock()
    {
        _ = Current();
        _cursor = Align(_cursor, PageblockOrder);
        return this;
    }

    /// <summary>Watermarks of every zone, in pages.</summary>
    public MachineBuilder Watermarks(long min, long low, long high)
    {
        _marks = (min, low, high);
        return this;
    }

    /// <summary>What the current zone keeps back from requests that could use a higher zone.</summary>
    public MachineBuilder LowmemReserve(int highestZoneIndex, long pages)
    {
        Current().LowmemReserve[highestZoneIndex] = pages;
        return this;
    }

    /// <summary>Pages the current zone counts as reserved for high-order atomic requests.</summary>
    public MachineBuilder HighAtomicReserved(long pages)
    {
        Current().ReservedHighAtomicPages = pages;
        return this;
    }

    /// <summary>What the current zone's watermarks are boosted by.</summary>
    public MachineBuilder Boost(long pages)
    {
        Current().WatermarkBoost = pages;
        return this;
    }

    /// <summary>Per-CPU lists that keep pages.</summary>
    public MachineBuilder Pcp(int high, int batch)
    {
        _pcp = (high, batch);
        return this;
    }

    /// <summary>How much of the free counter each CPU keeps to itself.</summary>
    public MachineBuilder StatThreshold(int pages)
    {
        _statThreshold = pages;
        return this;
    }

    /// <summary>CPUs, by the node each is on.</summary>
    public MachineBuilder CpusOnNodes(params int[] nodes)
    {
        _cpuNodes.Clear();
        _cpuNodes.AddRange(nodes);
        return this;
    }

    public MachineBuilder ParallelCpus()
    {
        _parallel = true;
        return this;
    }

    /// <summary>Parallel CPUs of which somebody else than the host decides which goes on.</summary>
    public MachineBuilder ParallelCpus(IInterleaver interleaver)
    {
        _interleaver = interleaver;
        return ParallelCpus();
    }

    public MachineBuilder PageOwner()
    {
        _owners = true;
        return this;
    }

    public MachineBuilder Bugs(BugPolicy policy)
    {
        _policy = policy;
        return this;
    }

    public MachineBuilder LoggingTo(ILoggerFactory factory)
    {
        _logger = factory;
        return this;
    }

    /// <summary>Whose rules are in force; 6.1's, unless said.</summary>
    public MachineBuilder Kernel(string version)
    {
        _personality = KernelPersonality.Parse(version);
        return this;
    }

    public Machine Build()
    {
        _ = Current();
        int[] nodes = [.. _zones.Select(z => z.Node).Concat(_cpuNodes).Distinct().Order()];
        MachineBlueprint blueprint = new()
        {
            Architecture = ArchitectureInfo.X86_64,
            HasContents = false,
            PageblockOrder = PageblockOrder,
            Nodes = [.. nodes.Select(n => new NodeBlueprint(n, [], [n, .. nodes.Where(other => other != n)]))],
            CpuNodes = _cpuNodes,
            Zones = [.. _zones.Select(z => new ZoneBlueprint(z.Node, z.Type, z.StartPfn, z.SpannedPages, z.PresentPages, z.ManagedPages))],
            Parallel = _parallel,
            Interleaver = _interleaver,
            TracksOwners = _owners,
            BugPolicy = _policy,
            LoggerFactory = _logger,
        };
        Machine machine = new(_personality is null ? blueprint : blueprint with { Personality = _personality });
        AllocatorState state = new() { CpuCount = _cpuNodes.Count };
        foreach (ZoneState zone in _zones)
        {
            (zone.WatermarkMin, zone.WatermarkLow, zone.WatermarkHigh) = _marks;
            zone.StatThreshold = _statThreshold;
            foreach (int _ in _cpuNodes)
            {
                zone.Pcp.Add(new PcpState { High = _pcp.High, Batch = _pcp.Batch });
            }

            state.Zones.Add(zone);
        }

        StateRestorer.Fill(machine, state);
        machine.BuildSubsystems(new SubsystemOptions());
        return machine;
    }

    private static long Align(long pfn, int order) => (pfn + (1L << order) - 1) & ~((1L << order) - 1);

    private ZoneState Current()
    {
        if (_zones.Count == 0)
        {
            Zone(ZoneType.Dma32);
        }

        return _zones[^1];
    }
}

/// <summary>A test class whose machines are verified and disposed after every test.</summary>
public abstract class MachineTests : IDisposable
{
    private readonly List<Machine> _machines = [];

    public void Dispose()
    {
        GC.SuppressFinalize(this);
        try
        {
            foreach (Machine machine in _machines)
            {
                machine.Verify();
            }
        }
        finally
        {
            _machines.ForEach(m => m.Dispose());
        }
    }

    private protected Machine Boot(MachineSpec spec) => Keep(Machine.Boot(spec));

    private protected Machine Boot(MachineBuilder builder) => Keep(builder.Build());

    /// <summary>Runs something that must be refused, and asserts that the machine did not change.</summary>
    private protected static KernelBugException Refuses(Machine machine, Action act)
    {
        string before = machine.StateText();
        KernelBugException bug = Assert.Throws<KernelBugException>(act);
        Assert.Equal(before, machine.StateText());
        machine.Verify();
        return bug;
    }

    private Machine Keep(Machine machine)
    {
        _machines.Add(machine);
        return machine;
    }
}

/// <summary>Keeps what a machine logs.</summary>
internal sealed class ListLogger : ILoggerFactory, ILogger
{
    public List<(LogLevel Level, string Text)> Entries { get; } = [];

    public LogLevel Lowest { get; set; } = LogLevel.Trace;

    public void AddProvider(ILoggerProvider provider)
    {
    }

    public ILogger CreateLogger(string categoryName) => this;

    public void Dispose()
    {
    }

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= Lowest;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        Entries.Add((logLevel, formatter(state, exception)));
}
