using System.Globalization;
using System.Text.RegularExpressions;
using MemSim.Captures;
using MemSim.Kernels;
using MemSim.Observability;
using MemSim.Recordings.Replay;
using MemSim.Recordings.Workloads;

namespace MemSim.Recordings;

/// <summary>Runs the programs of a recording again, on the recorded machine's twin, and compares how hard reclaim had to work.</summary>
/// <remarks>
/// <para>Where <see cref="TraceReplay"/> does what the page events say, this does what the programs did: <c>workload-setup.sh</c> and <c>workload.sh</c> of the
/// recording, read as scripts, with the swap that its <c>note.txt</c> tells of. Nothing else of the recording is used but the layout and, before the workload begins,
/// the number of free pages of each zone: what the recorded kernel used and the twin does not is taken by unmovable blocks, so that memory runs short when it did.</para>
/// <para>Kswapd works at the same time as the programs, on a simulated clock. The frames and the order of the lists are not those of the recording, nor are the
/// counts exactly: their ratio says how near they come.</para>
/// </remarks>
public static partial class WorkloadReplay
{
    private static readonly string[] VmStatNames =
    [
        "pgscan_kswapd", "pgscan_direct", "pgscan", "pgsteal_kswapd", "pgsteal_direct", "pgsteal", "allocstall", "pageoutrun", "kswapd_low_wmark_hit_quickly",
        "kswapd_high_wmark_hit_quickly", "pgscan_direct_throttle", "pswpout", "pswpin", "pgrotated", "pgmigrate_success", "compact_daemon_wake", "thp_fault_alloc", "thp_swpout", "oom_kill",
    ];

    /// <summary>Whether a folder holds a recording with its workload.</summary>
    /// <param name="directory">The folder.</param>
    public static bool CanRun(string directory) => File.Exists(Path.Combine(directory, "workload.sh"));

    /// <summary>Runs a recorded workload.</summary>
    /// <param name="directory">The recording's folder: <c>workload.sh</c>, <c>before-zoneinfo</c>, <c>before-</c> and <c>after-vmstat</c>, <c>note.txt</c>; the event counts of the trace or of <c>index.tsv</c> beside the folder.</param>
    /// <param name="kernel">Whose rules to follow; null for the kernel that the folder names.</param>
    /// <returns>The figures, in a fixed order.</returns>
    /// <exception cref="InputFileException">A file is missing or malformed, or a script asks for what is not known.</exception>
    public static IReadOnlyList<WorkloadFigure> Run(string directory, KernelChoice? kernel = null)
    {
        ArgumentNullException.ThrowIfNull(directory);
        string scriptPath = Path.Combine(directory, "workload.sh");
        string script = Read(scriptPath);
        string setup = Path.Combine(directory, "workload-setup.sh");
        AllocatorState? state = StartOf(directory, prepares: File.Exists(setup));
        CapturedMachine captured = CapturedMachine.Read(directory, kernel);
        if (state is not null)
        {
            state.Kernel = captured.Kernel.Line;
        }

        using Machine machine = state is not null ? StateRestorer.Restore(state, hasContents: true) : Machine.Boot(MachineSpec.FromProc(directory, kernel).AsBooted());
        machine.Reclaim.Enable();
        if (machine.HugePages.IsAvailable)
        {
            // Small machines boot without: below 512 MiB there is no khugepaged.
            machine.HugePages.Assume(ReserveCalculator.HasKhugepaged(captured.BootLayout ?? captured.Layout) ? captured.CurrentTransparentHugePages : TransparentHugePages.Never);
        }

        WorkCosts costs = WorkCosts.EmulatedAndTraced;
        TimeShares time = TimeShares.Of(machine, costs);
        using BlockDevice? swap = SwapOn(machine, directory);
        using WorkloadPrograms programs = new(machine, time, costs, scriptPath);
        programs.AddDevice(new BlockDevice("vdb", new ByteSize(1536UL << 20)));
        if (File.Exists(setup))
        {
            new ShellScript(setup, programs.Run).Run(Read(setup));
            time.Sleep(machine.Cpus[0], 1_000_000_000);
        }

        TakeKernelPages(machine, captured.ZoneInfo);
        PressureCounts counts = new();
        machine.Tracing.Attach(counts, TraceEvents.Reclaim);
        machine.Tracing.Attach(counts, TraceEvents.Compaction);
        Dictionary<string, long> before = ParseVmStat(machine.Proc.VmStat, "vmstat");
        new ShellScript(scriptPath, programs.Run).Run(script);
        time.Sleep(machine.Cpus[0], TailNanoseconds);
        Dictionary<string, long> after = ParseVmStat(machine.Proc.VmStat, "vmstat");
        machine.Tracing.Detach(counts, TraceEvents.Reclaim);
        return Compare(directory, counts, before, after);
    }

    /// <summary>The recordings go on for about that long when their workload has ended.</summary>
    private const long TailNanoseconds = 150_000_000;

    private static List<WorkloadFigure> Compare(string directory, PressureCounts counts, Dictionary<string, long> before, Dictionary<string, long> after)
    {
        List<WorkloadFigure> figures = [];
        IReadOnlyDictionary<string, long>? events = RecordedEvents(directory);
        foreach ((string name, long simulated) in counts.Events)
        {
            figures.Add(new WorkloadFigure(name, events is null ? -1 : events.GetValueOrDefault(name), simulated));
        }

        string beforePath = Path.Combine(directory, "before-vmstat");
        string afterPath = Path.Combine(directory, "after-vmstat");
        Dictionary<string, long> recordedBefore = ParseVmStat(Read(beforePath), beforePath);
        Dictionary<string, long> recordedAfter = ParseVmStat(Read(afterPath), afterPath);
        foreach (string name in VmStatNames)
        {
            figures.Add(new WorkloadFigure(name, Of(recordedAfter, name) - Of(recordedBefore, name), Of(after, name) - Of(before, name)));
        }

        return figures;
    }

    /// <summary>A line, or the sum of those that count the same thing apart.</summary>
    private static long Of(Dictionary<string, long> vmstat, string name) => name switch
    {
        "allocstall" => vmstat.Where(p => p.Key.StartsWith("allocstall_", StringComparison.Ordinal)).Sum(p => p.Value),
        "pgscan" or "pgsteal" => vmstat.GetValueOrDefault(name + "_kswapd") + vmstat.GetValueOrDefault(name + "_direct"),
        _ => vmstat.GetValueOrDefault(name),
    };

    private static Dictionary<string, long> ParseVmStat(string text, string path)
    {
        Dictionary<string, long> values = new(StringComparer.Ordinal);
        int line = 0;
        foreach (string row in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            line++;
            string[] words = row.Split(' ');
            if (words.Length != 2 || !long.TryParse(words[1], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value))
            {
                throw new InputFileException(path, line, $"'{row}' is no name and number");
            }

            values[words[0]] = value;
        }

        return values;
    }

    private static string Read(string path)
    {
        using StreamReader reader = InputFile.OpenText(path);
        return reader.ReadToEnd();
    }

    private static IReadOnlyDictionary<string, long>? RecordedEvents(string directory)
    {
        string trace = Path.Combine(directory, "trace.txt.gz");
        IReadOnlyDictionary<string, long> indexed = TraceReplayFolder.Open(trace, directory).IndexedCounts();
        if (indexed.Count != 0 || !File.Exists(trace))
        {
            return indexed.Count != 0 ? indexed : null;
        }

        Dictionary<string, long> counts = new(StringComparer.Ordinal);
        using TraceReader reader = new(trace);
        while (reader.TryRead(out TraceEvent e))
        {
            counts[e.EventName] = counts.GetValueOrDefault(e.EventName) + 1;
        }

        return counts;
    }

    /// <summary>The swap in use while the workload was recorded: the table of <c>/proc/swaps</c> at the end of the note.</summary>
    private static BlockDevice? SwapOn(Machine machine, string directory)
    {
        string path = Path.Combine(directory, "note.txt");
        int line = 0;
        foreach (string row in File.Exists(path) ? Read(path).Split('\n') : [])
        {
            line++;
            if (SwapRow().Match(row) is not { Success: true } match)
            {
                continue;
            }

            // The size leaves the header out.
            if (!long.TryParse(match.Groups[2].Value, NumberStyles.None, CultureInfo.InvariantCulture, out long kib) || kib is < 64 or > 1L << 34)
            {
                throw new InputFileException(path, line, $"'{match.Groups[2].Value}' KiB is no size of a swap area");
            }

            string name = match.Groups[1].Value;
            bool memory = name.StartsWith("zram", StringComparison.Ordinal);
            BlockDevice device = new(name + "-swap", new ByteSize((ulong)(kib + 4) << 10), memory ? BlockDeviceCosts.Memory : new BlockDeviceCosts(0, 1, 0)) { HoldsWrites = !memory };
            _ = machine.Swap.SwapOn(device).Value;
            return device;
        }

        return null;
    }

    /// <summary>The allocator's state before the workload; without what its preparation filled, which is done again. Null where the recording has no lists.</summary>
    private static AllocatorState? StartOf(string directory, bool prepares)
    {
        TraceReplayFolder folder = TraceReplayFolder.Open(Path.Combine(directory, "trace.txt.gz"), directory);
        string? flags = folder.FindBefore("kpageflags");
        if (TraceReplayStart.Read(folder, null, folder.Kernel().Line, out bool exact) is not { } state || !exact || (prepares && flags is null))
        {
            return null;
        }

        if (prepares)
        {
            TraceReplayStart.FreePagesOfUsers(state, flags!);
        }

        return state;
    }

    /// <summary>Takes the memory that the recorded kernel had in use, in blocks as large as possible, but for so many pages of the largest zone.</summary>
    internal static void TakeKernelPages(Machine machine, ZoneInfoFile recorded, long leave = 0)
    {
        Zone? largest = machine.Zones.MaxBy(zone => zone.ManagedPages);
        foreach (Zone zone in machine.Zones)
        {
            Gfp gfp = Gfp.NoWarn | zone.Type switch
            {
                ZoneType.Dma => Gfp.Dma,
                ZoneType.Dma32 => Gfp.Dma32,
                ZoneType.HighMem => Gfp.HighMem,
                ZoneType.Movable => Gfp.HighMem | Gfp.Movable,
                _ => default,
            };
            ZoneInfoZone? row = recorded.Zones.FirstOrDefault(z => z.Node == zone.Node.Id && z.Type == zone.Type);
            for (int order = PageGeometry.MaxOrder; row is not null && order >= 0; order--)
            {
                while (zone.FreePages - (row.Free ?? 0) - (zone == largest ? leave : 0) >= 1L << order)
                {
                    Page page = machine.Cpus[0].AllocPages(gfp, order);
                    if (page.IsNull || page.Zone != zone)
                    {
                        if (!page.IsNull)
                        {
                            machine.Cpus[0].FreePages(page, order);
                        }

                        break;
                    }
                }
            }
        }
    }

    [GeneratedRegex(@"^/dev/(\w+)\s+\w+\s+(\d+)\s")]
    private static partial Regex SwapRow();
}
