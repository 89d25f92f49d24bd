using System.Globalization;
using MemSim.Kernels;
using MemSim.Observability;
using MemSim.Recordings.Import;
using MemSim.Recordings.Replay;

namespace MemSim.Recordings;

/// <summary>Replays a recorded page-allocator run on a machine restored from its recorded state and compares everything the kernel did.</summary>
/// <remarks>Formats: <c>state-pre</c>, <c>ops</c>, <c>state-post</c>, <c>state-end</c>, <c>state-drained</c> of a recording made inside a running 6.1 kernel.</remarks>
public sealed class ExactReplay : IDisposable
{
    private const int MarkerPost = 99;
    private const int MarkerEnd = 98;

    private readonly string _directory;
    private readonly Machine _machine;
    private readonly Cpu _cpu;
    private readonly Zone?[] _zonesByIndex;
    private readonly ReplayTally _tally = new();
    private readonly KernelTask _ordinary = new("recorder", 1);
    private readonly KernelTask _memAlloc = new("recorder", 1) { Flags = TaskFlags.MemAlloc };
    private readonly KernelTask _victim = new("recorder", 1) { Flags = TaskFlags.OomVictim };

    private readonly RecordedTypes _types;

    private ExactReplay(string directory, Machine machine, RecordedTypes types, IReadOnlyList<string> warnings)
    {
        _directory = directory;
        _types = types;
        Warnings = warnings;
        _machine = machine;
        _cpu = machine.Cpus[0];
        _zonesByIndex = new Zone?[machine.Architecture.ZoneTypes.Count];
        foreach (Zone zone in machine.Zones)
        {
            _zonesByIndex[zone.Index] = zone;
        }
    }

    /// <summary>The machine as the replay left it.</summary>
    public Machine Machine => _machine;

    /// <summary>Operations after which <see cref="Run"/> says how far it is.</summary>
    public int OperationsBetweenReports { get; set; } = 4096;

    /// <summary>What the user must know about the rules used.</summary>
    public IReadOnlyList<string> Warnings { get; }

    /// <summary>Whether a folder holds a recorded page-allocator run.</summary>
    /// <param name="directory">The folder.</param>
    public static bool IsRun(string directory) =>
        File.Exists(Path.Combine(directory, "state-pre.json.gz")) && File.Exists(Path.Combine(directory, "ops.txt.gz"));

    /// <summary>Restores the state recorded before a run.</summary>
    /// <param name="directory">The run's folder.</param>
    /// <param name="kernel">Whose rules to follow; null for the kernel that <c>job.json</c> names, or that the state looks like.</param>
    /// <exception cref="InputFileException">A file is missing or malformed.</exception>
    public static ExactReplay Open(string directory, KernelChoice? kernel = null)
    {
        string path = Path.Combine(directory, "state-pre.json.gz");
        AllocatorState state = ExactStateReader.Read(path);
        kernel ??= RecordedJob.KernelOf(directory);
        state.Kernel = kernel?.Line ?? state.Kernel;
        try
        {
            return new ExactReplay(directory, StateRestorer.Restore(state), new RecordedTypes(state.MigrateTypeCount), kernel?.Warnings ?? []);
        }
        catch (FormatException e)
        {
            throw new InputFileException(path, 0, e.Message, e);
        }
    }

    /// <summary>Replays the whole run.</summary>
    /// <param name="progress">Told the line reached, now and then.</param>
    /// <returns>What matched and what did not.</returns>
    /// <exception cref="InputFileException">A file is malformed.</exception>
    /// <exception cref="ReplayDivergedException">The machine is no longer in a state in which the next operation makes sense.</exception>
    public ReplayResult Run(IProgress<long>? progress = null)
    {
        using ExactOperationsReader reader = new(Path.Combine(_directory, "ops.txt.gz"));
        while (reader.TryRead(out ExactOperation operation))
        {
            try
            {
                Apply(reader, operation);
            }
            catch (KernelBugException e) when (e.Kind == KernelBugKind.IllegalFlags)
            {
                throw new InputFileException(Path.Combine(_directory, "ops.txt.gz"), operation.Line, $"the operation asks for what a kernel refuses: {e.Message.Split('\n')[0].TrimEnd()}", e);
            }

            if (progress is not null && operation.Line % OperationsBetweenReports == 0)
            {
                progress.Report(operation.Line);
            }
        }

        CompareState("drained");
        return _tally.ToResult(Path.GetFileName(Path.GetFullPath(_directory)));
    }

    /// <inheritdoc/>
    public void Dispose() => _machine.Dispose();

    private void Apply(ExactOperationsReader reader, in ExactOperation operation)
    {
        switch (operation.Kind)
        {
            case ExactOperationKind.Allocate:
                Allocate(operation);
                break;
            case ExactOperationKind.Free:
                _machine.Pages.FreeBlock(_cpu, Live(operation, operation.Order), operation.Order);
                break;
            case ExactOperationKind.BulkAllocate:
                AllocateBulk(reader, operation);
                return;
            case ExactOperationKind.FreeList:
                FreeList(reader, operation);
                return;
            case ExactOperationKind.Split:
                _machine.Pages.Split(Live(operation, operation.Order), operation.Order);
                break;
            case ExactOperationKind.Drain:
                Drain(operation);
                break;
            case ExactOperationKind.DrainBatch:
                _cpu.Pages.DrainZonePages(ZoneAt(operation));
                break;
            case ExactOperationKind.Marker:
                if (operation.Count is MarkerPost or MarkerEnd)
                {
                    CompareState(operation.Count == MarkerPost ? "post" : "end");
                }

                break;
            default:
                throw new InvalidOperationException($"operation {operation.Kind} cannot stand alone");
        }

        CompareCounters(operation);
    }

    private void Allocate(in ExactOperation operation)
    {
        KernelTask task = operation.Caller switch { ExactCaller.MemAlloc => _memAlloc, ExactCaller.OomVictim => _victim, _ => _ordinary };
        int pfn;
        if (task == _ordinary)
        {
            pfn = _machine.Pages.Allocate(_cpu, operation.Gfp, operation.Order);
        }
        else
        {
            using ContextScope scope = _cpu.Run(task);
            pfn = _machine.Pages.Allocate(_cpu, operation.Gfp, operation.Order);
        }

        ComparePage(operation, pfn, operation.Pfn, operation.Zone, operation.MigrateType);
    }

    private void AllocateBulk(ExactOperationsReader reader, in ExactOperation operation)
    {
        Page[] pages = new Page[operation.Count];
        int got = _cpu.Pages.AllocPagesBulk(operation.Gfp, pages);
        if (!_tally.IsEqual("bulk", got == operation.Got) && _tally.KeepsMismatches)
        {
            _tally.AddMismatch("bulk", $"line {operation.Line}: {operation.Got} pages delivered, here {got}");
        }

        for (int i = 0; i < operation.Got; i++)
        {
            if (!reader.TryRead(out ExactOperation page) || page.Kind != ExactOperationKind.BulkPage)
            {
                throw new InputFileException(Path.Combine(_directory, "ops.txt.gz"), operation.Line + i + 1, "a bulk allocation lacks its pages");
            }

            ComparePage(page, i < got ? (int)pages[i].Pfn.Value : -1, page.Pfn, page.Zone, page.MigrateType);
        }

        CompareCounters(operation);
    }

    private void FreeList(ExactOperationsReader reader, in ExactOperation operation)
    {
        Page[] pages = new Page[operation.Count];
        for (int i = 0; i < pages.Length; i++)
        {
            if (!reader.TryRead(out ExactOperation page) || page.Kind != ExactOperationKind.ListPage)
            {
                throw new InputFileException(Path.Combine(_directory, "ops.txt.gz"), operation.Line + i + 1, "a list of pages is shorter than announced");
            }

            pages[i] = new Page(_machine, Live(page, 0));
            CompareType(page, (int)page.Pfn, page.Zone, page.MigrateType);
        }

        _cpu.Pages.FreePagesBulk(pages);
    }

    private void Drain(in ExactOperation operation)
    {
        if (operation.Zone < 0)
        {
            _cpu.Pages.DrainLocalPages();
        }
        else
        {
            _cpu.Pages.DrainLocalPages(ZoneAt(operation));
        }
    }

    /// <summary>The frame an operation names, as a live block: a replay that has gone wrong stops here rather than damage the machine.</summary>
    private int Live(in ExactOperation operation, int order)
    {
        int pfn = (int)operation.Pfn;
        if (!_machine.Frames.IsAllocatedHead(pfn, order))
        {
            throw new ReplayDivergedException($"line {operation.Line}: pfn 0x{pfn:x} is no live block of order {order} here", _tally.FirstMismatch, StateText.Around(_machine, pfn));
        }

        return pfn;
    }

    private Zone ZoneAt(in ExactOperation operation) =>
        _zonesByIndex[operation.Zone] ?? throw new InputFileException(Path.Combine(_directory, "ops.txt.gz"), operation.Line, $"zone {operation.Zone} does not exist");

    private void ComparePage(in ExactOperation operation, int pfn, long expected, int zone, int type)
    {
        if (!_tally.IsEqual("pfn", pfn == expected))
        {
            DescribePage(operation, pfn, expected);
        }
        else if (pfn >= 0)
        {
            CompareType(operation, pfn, zone, type);
        }
    }

    private void CompareType(in ExactOperation operation, int pfn, int zone, int type)
    {
        Zone actual = _machine.Zones[_machine.Frames.FrameOf(pfn).ZoneId];
        if (!_tally.IsEqual("zone", actual.Index == zone) && _tally.KeepsMismatches)
        {
            _tally.AddMismatch("zone", $"line {operation.Line}: pfn 0x{pfn:x} in zone {zone}, here {actual}");
        }

        MigrateType actualType = (MigrateType)actual.BlockType(pfn);
        if (!_tally.IsEqual("block type", _types.FromRecorded(type) == actualType) && _tally.KeepsMismatches)
        {
            _tally.AddMismatch("block type", $"line {operation.Line}: the page block of pfn 0x{pfn:x} has type {type}, here {actualType}");
        }
    }

    private void CompareCounters(in ExactOperation operation)
    {
        if (!operation.HasCounters)
        {
            return;
        }

        ExactCounters actual = new(FreePages(0), FreePages(1), FreePages(2), FreePages(3));
        if (actual == operation.Counters)
        {
            _tally.AddEqual("counter", ExactCounters.Count);
        }
        else
        {
            CompareEachCounter(operation, actual);
        }
    }

    private long FreePages(int zone) => _zonesByIndex[zone] is { IsPopulated: true } populated ? populated.FreePages : 0;

    private void CompareEachCounter(in ExactOperation operation, in ExactCounters actual)
    {
        for (int i = 0; i < ExactCounters.Count; i++)
        {
            if (!_tally.IsEqual("counter", actual[i] == operation.Counters[i]) && _tally.KeepsMismatches)
            {
                _tally.AddMismatch("counter", $"line {operation.Line}: free counter of zone {i} is {operation.Counters[i]}, here {actual[i]}");
            }
        }
    }

    private void DescribePage(in ExactOperation operation, int pfn, long expected)
    {
        if (_tally.KeepsMismatches)
        {
            _tally.AddMismatch("pfn", string.Create(CultureInfo.InvariantCulture,
                $"line {operation.Line}: order {operation.Order} {GfpText.FormatWithHex(operation.Gfp)}: the kernel returned {Text(expected)}, here {Text(pfn)}\n{StateText.Around(_machine, expected >= 0 ? expected : pfn)}"));
        }
    }

    private void CompareState(string when)
    {
        string path = Path.Combine(_directory, $"state-{when}.json.gz");
        if (File.Exists(path))
        {
            StateComparison.Compare(ExactStateReader.Read(path), StateCapture.Capture(_machine, when), when, _tally, includeFigures: true);
        }
    }

    private static string Text(long pfn) => pfn < 0 ? "no memory" : string.Create(CultureInfo.InvariantCulture, $"pfn {pfn}");
}
