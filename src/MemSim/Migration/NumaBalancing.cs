using MemSim.Faults;
using MemSim.Lru;
using MemSim.Migration;
using MemSim.VirtualMemory;

namespace MemSim;

/// <summary>What automatic balancing does (<c>kernel.numa_balancing</c>).</summary>
[Flags]
public enum NumaBalancingModes
{
    /// <summary>Nothing.</summary>
    Off = 0,

    /// <summary>Pages go to the node of the CPUs that use them (<c>NUMA_BALANCING_NORMAL</c>).</summary>
    Normal = 1,

    /// <summary>Pages of slow memory that are used often go to fast memory (<c>NUMA_BALANCING_MEMORY_TIERING</c>).</summary>
    MemoryTiering = 2,
}

/// <summary>Automatic balancing between nodes: entries lose their rights now and then, and who uses their pages next, from where, decides where the pages go.</summary>
/// <remarks>
/// A process is scanned while it runs on a CPU and <see cref="Machine.AdvanceTime"/> lets its time pass, or at once by <see cref="Scan"/>. On after the boot
/// of a machine with several nodes. What the kernel's scheduler does with the figures - tasks that move to their memory, groups of tasks that share pages - is not simulated.
/// </remarks>
public sealed partial class NumaBalancing
{
    private const long Millisecond = 1_000_000;

    private readonly Machine _machine;
    private readonly List<int> _isolated = [];
    private readonly Misplaced _targets;
    private NumaBalancingModes _mode;
    private PageUses? _uses;
    private Promotion[]? _promotions;
    private long _lookedNanoseconds;

    internal NumaBalancing(Machine machine)
    {
        _machine = machine;
        _targets = new Misplaced(machine);
    }

    /// <summary>What it does (<c>kernel.numa_balancing</c>); 0 to 3.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Neither of the modes, nor both.</exception>
    /// <exception cref="InvalidOperationException">The kernel cannot: it has one node's worth of code (x86-32), is too old, or the machine has no contents of RAM.</exception>
    public NumaBalancingModes Mode
    {
        get => _mode;
        set
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)value, 3u, nameof(value));
            _machine.ThrowIfDisposed();
            if (value != NumaBalancingModes.Off && !IsAvailable)
            {
                throw new InvalidOperationException("this kernel cannot balance between nodes");
            }

            _mode = value;
            if (value != NumaBalancingModes.Off)
            {
                Begin();
            }
        }
    }

    /// <summary>Whether the kernel can: 64 bits, 3.8 and later.</summary>
    public bool IsAvailable => _machine.Architecture.Bits == 64 && _machine.Personality.Areas.BalancesNodes && _machine.Mm is not null;

    /// <summary>How long a process runs before it is scanned for the first time (<c>scan_delay_ms</c>): a second.</summary>
    public TimeSpan ScanDelay { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>The shortest time between two scans, for a whole address space (<c>scan_period_min_ms</c>): a second.</summary>
    public TimeSpan ScanPeriodMin { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>The longest time between two scans (<c>scan_period_max_ms</c>): a minute.</summary>
    public TimeSpan ScanPeriodMax { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>How much a scan marks (<c>scan_size_mb</c>): 256 MiB.</summary>
    public ByteSize ScanSize { get; set; } = ByteSize.FromMiB(256);

    /// <summary>How soon after a scan a page of slow memory must be used to be hot (<c>hot_threshold_ms</c>): a second. The kernel moves it by how many there are.</summary>
    public TimeSpan HotThreshold { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>How much a node may take of slower ones in a second, in MB (<c>kernel.numa_balancing_promote_rate_limit_MBps</c>): 65536.</summary>
    public int PromoteRateLimit { get; set; } = 65536;

    /// <summary>Scans a part of a process's address space now, whether it is time or not (<c>task_numa_work()</c>).</summary>
    /// <param name="cpu">The CPU it runs on: what lies on that one's node already need not be asked about.</param>
    /// <param name="process">The process.</param>
    /// <returns>Pages whose entries lost their rights until their next use; 0 while <see cref="Mode"/> is off.</returns>
    /// <exception cref="ArgumentException">One of them belongs to another machine.</exception>
    public long Scan(Cpu cpu, Process process)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        ArgumentNullException.ThrowIfNull(process);
        _ = _machine.CpuTable.Own(cpu);
        if (!ReferenceEquals(process.Machine, _machine))
        {
            throw new ArgumentException($"{process} belongs to another machine", nameof(process));
        }

        if (_mode == NumaBalancingModes.Off || process.MmOrNull is not { } mm)
        {
            return 0;
        }

        using OwnersLock.Scope scope = mm.Spaces.Enter();
        return ScanPart(cpu, mm, StateOf(mm));
    }

    /// <summary>The boot is over: on where the machine has several nodes (<c>check_numabalancing_enable()</c>).</summary>
    internal void StartUp(bool? asked)
    {
        if (IsAvailable && (asked ?? _machine.Nodes.Count > 1))
        {
            Mode = NumaBalancingModes.Normal;
        }
    }

    /// <summary>Time has passed: processes that ran are scanned as often as they would have been (<c>task_tick_numa()</c>).</summary>
    internal void Advance()
    {
        long now = _machine.Clock.Nanoseconds;
        long passed = now - _lookedNanoseconds;
        for (int i = 0; i < _machine.Cpus.Count && _mode != NumaBalancingModes.Off && passed > 0; i++)
        {
            Cpu cpu = _machine.Cpus[i];
            if (cpu.Current is Process { MmOrNull: { } mm })
            {
                Run(cpu, mm, StateOf(mm), now - passed, passed);
            }
        }

        _lookedNanoseconds = now;
    }

    private int NodeNumbers => _machine.Nodes.Max(node => node.Id) + 1;

    private void Begin()
    {
        _uses ??= new PageUses(_machine);
        _promotions ??= [.. Enumerable.Range(0, NodeNumbers).Select(_ => new Promotion())];
        _lookedNanoseconds = _machine.Clock.Nanoseconds;
        _machine.Mm!.Hints ??= new Hints(this);
    }

    private NumaScanState StateOf(MemoryDescriptor mm) => mm.NumaScan ??= new NumaScanState
    {
        NextScanNanoseconds = _lookedNanoseconds + Nanoseconds(ScanDelay),
        PeriodNanoseconds = Nanoseconds(ScanDelay),
        Faults = new long[NodeNumbers],
        NewFaults = new long[NodeNumbers],
    };

    private void Run(Cpu cpu, MemoryDescriptor mm, NumaScanState state, long from, long passed)
    {
        long before = state.RanNanoseconds;
        state.RanNanoseconds += passed;
        while (state.RanNanoseconds - state.StampNanoseconds > state.PeriodNanoseconds)
        {
            if (state.StampNanoseconds == 0)
            {
                state.PeriodNanoseconds = ShortestPeriod(mm);
            }

            state.StampNanoseconds += state.PeriodNanoseconds;
            long now = Math.Max(from, from + state.StampNanoseconds - before);
            if (now < state.NextScanNanoseconds)
            {
                continue;
            }

            state.NextScanNanoseconds = now + state.PeriodNanoseconds;
            int round = state.Sequence;
            _ = ScanPart(cpu, mm, state);
            if (state.Sequence != round && state.MarkedThisRound == 0)
            {
                // Nothing was left to mark, and nobody uses anything meanwhile.
                state.StampNanoseconds = Math.Max(state.StampNanoseconds, state.RanNanoseconds);
            }

            if (state.Sequence != round)
            {
                state.MarkedThisRound = 0;
            }
        }
    }

    private static long Nanoseconds(TimeSpan time) => time.Ticks * 100;

    private sealed class Hints(NumaBalancing owner) : IHintFaults
    {
        public void Used(Cpu cpu, Vma vma, ulong address, int pfn, int pages) => owner.Used(cpu, vma, address, pfn, pages);
    }

    /// <summary>A page on the node that wants it, or none: nothing is reclaimed for it (<c>alloc_misplaced_dst_folio()</c>).</summary>
    private sealed class Misplaced(Machine machine) : IMigrationTargets
    {
        public Node Node { get; set; } = machine.Nodes[0];

        /// <summary>The page that was given last.</summary>
        public int Last { get; set; } = -1;

        public int Take(Cpu cpu, int from, int order) => Last =
            machine.Pages.AllocateChecked(cpu, order == 0
                ? (Gfp.HighUserMovable & ~Gfp.Reclaim) | Gfp.ThisNode | Gfp.NoMemAlloc | Gfp.NoRetry | Gfp.NoWarn
                : Gfp.TransHugeLight | Gfp.ThisNode, order, Node);

        public void GiveBack(Cpu cpu, int pfn) => machine.Pages.FreeBlock(cpu, pfn, machine.Frames.Array[pfn].Order);
    }

    /// <summary>What limits promotion to a node (<c>nbp_*</c> of <c>pg_data_t</c>).</summary>
    private sealed class Promotion
    {
        public long SecondStart = long.MinValue / 2;
        public long CandidatesAtStart;
        public long ThresholdStart;
        public long CandidatesAtThreshold;
        public long ThresholdMilliseconds;
    }
}
