using MemSim.Kernels;
using MemSim.Recordings;
using MemSim.Tool.Json;
using MemSim.Tool.Recordings;
using MemSim.Tool.Views;

namespace MemSim.Tool.Commands;

/// <summary>The twin of a captured machine booted, recorded workloads replayed on restored machines, everything compared.</summary>
internal sealed class MainJob
{
    private const string Captured = "amd64-256M-runtime";
    private const string QuickRun = "512M-chain-1a";
    private const string MixedRun = "128M-c-allorders";
    private const string PressureRun = "128M-f1-pressure";
    private const string Trace = "amd64-256M-smp1-fork";

    private readonly List<RecordingOutcome> _parts = [];

    private readonly KernelChoice? _kernel;

    private MainJob(KernelChoice? kernel) => _kernel = kernel;

    public string MachineName { get; } = Captured;

    /// <summary>The kernel whose rules the twin follows, e.g. <c>Linux 6.1</c>.</summary>
    public string Kernel { get; private set; } = "";

    /// <summary>What is to be said of the choice of kernel.</summary>
    public IReadOnlyList<string> Warnings { get; private set; } = [];

    /// <summary>What the twin said while booting.</summary>
    public IReadOnlyList<string> BootLog { get; private set; } = [];

    /// <summary>The zones of the twin with their computed watermarks.</summary>
    public IReadOnlyList<ZoneDocument> BootedZones { get; private set; } = [];

    /// <summary>The recording whose machine <see cref="Maps"/> shows.</summary>
    public string MapSource { get; private set; } = "";

    /// <summary>Where free memory lay before and after a workload.</summary>
    public IReadOnlyList<FragmentationMap> Maps { get; private set; } = [];

    public IReadOnlyList<RecordingOutcome> Parts => _parts;

    public long Matched => _parts.Sum(p => p.Matched);

    public long Compared => _parts.Sum(p => p.Compared);

    public bool FellShort => _parts.Exists(p => p.FallsShortOf(null));

    /// <summary>How long all parts took.</summary>
    public double Seconds => _parts.Sum(p => p.Seconds);

    public static MainJob Do(ToolConsole console, EmbeddedRecordings recordings, bool quick, bool quiet, KernelChoice? kernel = null)
    {
        var job = new MainJob(kernel);
        job.BootTwin(recordings.Folder(Captured));
        job.ReplayRun(console, recordings.Folder(QuickRun), quiet, draw: quick);
        if (!quick)
        {
            job.ReplayRun(console, recordings.Folder(MixedRun), quiet, draw: false);
            job.ReplayRun(console, recordings.Folder(PressureRun), quiet, draw: false);
            job.ReplayTrace(console, recordings.Folder(Trace), quiet);
        }

        return job;
    }

    private void BootTwin(string folder)
    {
        TwinReport report = RecordingReplayer.Timed(
            () =>
            {
                using Machine machine = BootCommand.Boot(BootCommand.CapturedSpec(folder, _kernel));
                BootLog = [.. machine.BootLog];
                Kernel = machine.Personality.ToString();
                Warnings = [.. machine.Warnings];
                BootedZones = ZoneFigures.Of(machine);
                return TwinComparison.Run(folder, _kernel);
            },
            out double seconds);
        _parts.Add(new RecordingOutcome(Captured, $"twin in {report.Rows.Select(r => r.Step).Distinct().Count()} states")
        {
            Operations = report.Rows.Count,
            Seconds = seconds,
            Matched = report.Matched,
            Compared = report.Compared,
            Counts = [new CountDocument("derived figure", report.Matched, report.Compared)],
            Mismatches = [.. report.Rows.Where(r => r.Verdict == TwinVerdict.Mismatch).Select(r => r.ToString())],
        });
    }

    private void ReplayRun(ToolConsole console, string folder, bool quiet, bool draw)
    {
        var maps = new MapRecorder();
        _parts.Add(RecordingReplayer.ReplayExact(console, folder, quiet, maps, _kernel));
        if (draw)
        {
            MapSource = Path.GetFileName(folder);
            Maps = maps.Maps;
        }
    }

    private void ReplayTrace(ToolConsole console, string folder, bool quiet)
    {
        var maps = new MapRecorder();
        _parts.Add(TraceRecording.Replay(console, folder, like: null, quiet, maps, _kernel));
        MapSource = Path.GetFileName(folder);
        Maps = maps.Maps;
    }
}
