using System.Diagnostics;
using MemSim.Kernels;
using MemSim.Recordings;
using MemSim.Tool.Commands;
using MemSim.Tool.Json;
using MemSim.Tool.Views;

namespace MemSim.Tool.Recordings;

/// <summary>Recognises what was recorded and replays it.</summary>
internal static class RecordingReplayer
{
    /// <summary>Replays a recording.</summary>
    /// <exception cref="BadInputException">It is no recording, or one of something not simulated yet.</exception>
    /// <exception cref="InputFileException">It is missing or malformed.</exception>
    public static IReadOnlyList<RecordingOutcome> Replay(ToolConsole console, string path, string? like, KernelChoice? kernel, bool quiet)
    {
        if (like is not null)
        {
            SharedOptions.ExistingDirectory(like);
        }

        if (!Directory.Exists(path))
        {
            return File.Exists(path)
                ? [TraceRecording.Replay(console, path, like, quiet, kernel: kernel)]
                : throw new BadInputException($"{path}: no such file or folder");
        }

        // A folder may hold the same workload as text of several tools.
        if (TraceReplay.TracesIn(path) is { Count: > 0 } traces)
        {
            return [.. traces.Select(trace => TraceRecording.Replay(console, trace, like, quiet, kernel: kernel))];
        }

        if (like is not null)
        {
            throw new BadInputException("--like: only traces need a machine; this recording has its own");
        }

        if (Has(path, "state-pre.json.gz") || Has(path, "ops.txt.gz"))
        {
            return [ReplayExact(console, path, quiet, kernel: kernel)];
        }

        if (GfpReplay.IsData(path))
        {
            return [Of(Timed(() => GfpReplay.Run(path, kernel), out double seconds), "GFP flags", seconds, 0, RecordedJob.KernelOr(path, kernel))];
        }

        if (KmallocReplay.IsData(path))
        {
            return [Of(Timed(() => KmallocReplay.Run(path, kernel), out double seconds), "kmalloc sizes", seconds, 0, RecordedJob.KernelOr(path, kernel))];
        }

        if (SlabCachesReplay.IsData(path))
        {
            return [Of(Timed(() => SlabCachesReplay.Run(path, kernel), out double seconds), "slab caches", seconds, 0, RecordedJob.KernelOr(path, kernel))];
        }

        if (VmallocReplay.IsData(path))
        {
            return [Of(Timed(() => VmallocReplay.Run(path), out double seconds), "vmalloc areas", seconds, 0, null)];
        }

        if (WalkReplay.IsData(path))
        {
            return [Of(Timed(() => WalkReplay.Run(path), out double seconds), "page table walks", seconds, 0, null)];
        }

        throw new BadInputException($"{path}: no recording (neither ops.txt.gz nor gfp.jsonl.gz nor trace.txt.gz is there)");
    }

    /// <summary>Replays a recording that has a machine, with somebody watching: a run of the page allocator, or a trace (the first of its folder).</summary>
    /// <exception cref="BadInputException">It is neither.</exception>
    public static RecordingOutcome ReplayOne(ToolConsole console, string path, string? like, KernelChoice? kernel, bool quiet, IReplayWatcher watcher)
    {
        if (like is not null)
        {
            SharedOptions.ExistingDirectory(like);
        }

        if (Directory.Exists(path) && TraceReplay.TracesIn(path).Count == 0)
        {
            return Has(path, "state-pre.json.gz") || Has(path, "ops.txt.gz")
                ? ReplayExact(console, path, quiet, watcher, kernel)
                : throw new BadInputException($"{path}: neither a run of the page allocator nor a trace");
        }

        return TraceRecording.Replay(console, Directory.Exists(path) ? TraceReplay.TracesIn(path)[0] : path, like, quiet, watcher, kernel);
    }

    /// <summary>Replays a run of the page allocator.</summary>
    /// <param name="console">Where progress goes.</param>
    /// <param name="directory">The run.</param>
    /// <param name="quiet">Whether to show no progress.</param>
    /// <param name="watcher">Looks at the machine now and then; null for nobody.</param>
    /// <param name="kernel">Whose rules to follow; null for the recorded kernel's.</param>
    public static RecordingOutcome ReplayExact(ToolConsole console, string directory, bool quiet, IReplayWatcher? watcher = null, KernelChoice? kernel = null)
    {
        string name = Path.GetFileName(Path.GetFullPath(directory).TrimEnd(Path.DirectorySeparatorChar));
        long lines = LineCount.Of(Path.Combine(directory, "ops.txt.gz"));
        using ExactReplay replay = OpenExact(directory, kernel);
        IReadOnlyList<string> warnings = [.. replay.Warnings, .. OtherRules(directory, replay, kernel)];
        replay.OperationsBetweenReports = watcher?.Every ?? replay.OperationsBetweenReports;
        watcher?.Before(replay.Machine);
        try
        {
            ReplayResult result = Timed(() => console.WithProgress(name, lines, quiet, progress => replay.Run(new WatchedProgress(progress, line => watcher?.During(replay.Machine, line)))), out double seconds);
            watcher?.After(replay.Machine);
            return Of(result, "page allocator run", seconds, lines, null) with { Kernel = replay.Machine.Personality.ToString(), Warnings = warnings, Zones = ZoneFigures.Of(replay.Machine) };
        }
        catch (ReplayDivergedException e)
        {
            return new RecordingOutcome(name, "page allocator run")
            {
                Kernel = replay.Machine.Personality.ToString(),
                Warnings = warnings,
                Operations = lines,
                Compared = 1,
                StoppedAt = e.Message,
                Mismatches = e.FirstMismatch is string first ? [first] : [],
                Zones = ZoneFigures.Of(replay.Machine),
            };
        }
        catch (KernelBugException e)
        {
            return new RecordingOutcome(name, "page allocator run") { Kernel = replay.Machine.Personality.ToString(), Warnings = warnings, Operations = lines, Compared = 1, StoppedAt = e.Message };
        }
    }

    /// <summary>Says so when a run is replayed by the rules of another kernel than the one that made it.</summary>
    private static IEnumerable<string> OtherRules(string directory, ExactReplay replay, KernelChoice? asked)
    {
        if (asked is not null && RecordedJob.KernelOr(directory, null) is { } recorded && recorded.Line.Name != replay.Machine.Personality.Name)
        {
            yield return $"the run was recorded on Linux {recorded.Line.Name}, and --kernel asks for the rules of Linux {replay.Machine.Personality.Name}: from the first operation that these do otherwise on, frame numbers differ, and a block that the recording frees may not be allocated";
        }
    }

    private static ExactReplay OpenExact(string directory, KernelChoice? kernel)
    {
        try
        {
            return ExactReplay.Open(directory, kernel);
        }
        catch (FormatException e)
        {
            // Well-formed, but no state that an allocator can be in.
            throw new BadInputException($"{Path.Combine(directory, "state-pre.json.gz")}: {e.Message}", e);
        }
    }

    public static T Timed<T>(Func<T> work, out double seconds)
    {
        long start = Stopwatch.GetTimestamp();
        T result = work();
        seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        return result;
    }

    private static RecordingOutcome Of(ReplayResult result, string kind, double seconds, long operations, KernelChoice? kernel) => new(result.Name, kind)
    {
        Kernel = kernel?.Line.ToString() ?? "",
        Warnings = kernel?.Warnings ?? [],
        Operations = operations == 0 ? result.Total : operations,
        Seconds = seconds,
        Matched = result.Matched,
        Compared = result.Total,
        Counts = [.. result.Counts.Select(c => new CountDocument(c.Kind, c.Matched, c.Total))],
        Mismatches = result.Mismatches,
    };

    private static bool Has(string directory, string file) => File.Exists(Path.Combine(directory, file));
}
