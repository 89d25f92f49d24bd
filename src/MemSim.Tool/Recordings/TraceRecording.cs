using System.Globalization;
using MemSim.Kernels;
using MemSim.Recordings;
using MemSim.Tool.Json;
using MemSim.Tool.Views;

namespace MemSim.Tool.Recordings;

/// <summary>Replays the text of kmem events and says how many frame numbers were predicted.</summary>
internal static class TraceRecording
{
    /// <summary>What a trace of one CPU without reclaim must reach: the rest is what the kernel does without leaving an event.</summary>
    private const double ShareWithoutReclaim = 99.8;

    /// <summary>The same where tasks can lose the CPU between a list and the event: then more is left open.</summary>
    private const double ShareOfLazyKernels = 99.5;

    /// <summary>Events that say that memory ran short: what reclaim takes and gives back cannot be told from the events alone.</summary>
    private static readonly string[] SignsOfReclaim = ["mm_vmscan_direct_reclaim_begin", "mm_vmscan_kswapd_wake", "mm_compaction_begin", "mm_migrate_pages", "mark_victim"];

    /// <summary>Replays a trace.</summary>
    /// <param name="console">Where progress goes.</param>
    /// <param name="path">The trace or its folder.</param>
    /// <param name="like">The machine it was recorded on; null for what lies beside it.</param>
    /// <param name="quiet">Whether to show no progress.</param>
    /// <param name="watcher">Looks at the machine now and then; null for nobody.</param>
    /// <param name="kernel">Whose rules to follow; null for the recording's own.</param>
    public static RecordingOutcome Replay(ToolConsole console, string path, string? like, bool quiet, IReplayWatcher? watcher = null, KernelChoice? kernel = null)
    {
        string name = Path.GetFileName(path.TrimEnd(Path.DirectorySeparatorChar));
        string? text = !Directory.Exists(path) ? path : TraceReplay.TracesIn(path) is [string first, ..] ? first : null;
        long lines = text is not null && console.ShowsProgress(quiet) ? LineCount.Of(text) : 0;
        using TraceReplay replay = console.WithProgress($"reading {name}", lines, quiet, progress => TraceReplay.Open(path, like, progress, kernel));
        replay.EventsBetweenReports = watcher?.Every ?? replay.EventsBetweenReports;
        if (replay.Machine is { } before)
        {
            watcher?.Before(before);
        }

        TraceReplayResult result;
        double seconds;
        try
        {
            result = RecordingReplayer.Timed(() => console.WithProgress($"replaying {name}", lines, quiet, progress => replay.Run(new WatchedProgress(progress, line => Look(replay, watcher, line)))), out seconds);
        }
        catch (Exception e) when (e is KernelBugException or ReplayDivergedException)
        {
            return new RecordingOutcome(name, "trace") { Compared = 1, StoppedAt = e.Message };
        }

        if (replay.Machine is { } after)
        {
            watcher?.After(after);
        }

        ReplayResult? slab = result.SlabReplay?.Comparison;
        return new RecordingOutcome(result.Name, "trace")
        {
            Kernel = result.Kernel.Line.ToString(),
            Warnings = result.Kernel.Warnings,
            Operations = result.EventCount,
            Seconds = seconds,
            Matched = result.Predicted + (slab?.Matched ?? 0),
            Compared = (replay.Machine is null ? 0 : result.Allocations) + (slab?.Total ?? 0),
            ExactMatched = slab?.Matched ?? 0,
            ExactCompared = slab?.Total ?? 0,
            AtLeastPercent = result.NotPredictable is null && result.Cpus.Count == 1 && !Reclaims(result) ? Wanted(result) : replay.Machine is null || result.Allocations == 0 ? 0 : 100,
            Counts = [.. result.Comparison.Counts.Concat(slab?.Counts ?? []).Select(c => new CountDocument(c.Kind, c.Matched, c.Total))],
            Mismatches = [.. result.Comparison.Mismatches, .. slab?.Mismatches ?? []],
            Zones = replay.Machine is { } machine ? ZoneFigures.Of(machine) : [],
            Trace = ToDocument(result),
            Report = Report(result),
        };
    }

    private static void Look(TraceReplay replay, IReplayWatcher? watcher, long line)
    {
        if (replay.Machine is { } machine)
        {
            watcher?.During(machine, line);
        }
    }

    private static double Wanted(TraceReplayResult result) => result.Kernel.Line.Traces.PreemptsLazily ? ShareOfLazyKernels : ShareWithoutReclaim;

    private static bool Reclaims(TraceReplayResult result) =>
        result.Events.Any(e => e.Recorded > 0 && Array.Exists(SignsOfReclaim, s => e.Name == s || e.Name.EndsWith(":" + s, StringComparison.Ordinal)));

    private static TraceDocument ToDocument(TraceReplayResult result) => new(
        result.Kernel.Line.Name,
        result.Kernel.Warnings,
        result.Displaced,
        result.FreedPastLists,
        result.GivenBackUnseen,
        result.UnknownFlags,
        result.NotPredictable,
        result.TellingStart,
        result.PredictedUntold,
        result.EventCount,
        result.LostEvents,
        result.EventsWithoutCpu,
        result.FailedAllocations,
        result.UntracedPagesInferred + result.UntracedPagesNoticed + result.UntracedPagesFoundAtFree,
        [.. result.Cpus.Select(c => new TraceCpuDocument(c.Cpu, c.Allocations, c.Predicted))],
        [.. result.Misses.Select(m => new TraceMissDocument(m.Reason, m.Count))],
        [.. result.Events.Select(e => new TraceEventDocument(e.Name, e.Recorded, e.Replayed))],
        new TraceWakeupsDocument(result.KswapdWakeups.Recorded, result.KswapdWakeups.Replayed),
        [.. result.Pages.Rows.Select(r => new TracePageDocument(r.Order, r.MigrateType?.ToString(), r.Allocated, r.Freed, r.Failed))],
        new TraceSlabDocument(
            result.Slab.KmallocObjects, result.Slab.CacheObjects, result.Slab.Frees, result.Slab.BytesRequested, result.Slab.BytesAllocated, Math.Round(result.Slab.InternalFragmentation, 4),
            result.SlabReplay is { } slab ? ToDocument(slab) : null));

    private static TraceSlabReplayDocument ToDocument(TraceSlabReplay slab) => new(
        slab.Comparison.Matched,
        slab.Comparison.Total,
        slab.Freed,
        slab.FreedWithoutEvent,
        slab.FreesOfUnknown,
        slab.FailedAllocations,
        slab.LiveObjects,
        slab.SlabPages,
        slab.PeakSlabPages,
        [.. slab.Caches.Select(c => new TraceSlabCacheDocument(
            c.Cache, c.PropertiesKnown, c.SlotBytes, c.Allocated, c.Freed, c.FreesOfUnknown, c.BytesRequested, c.BytesAllocated, c.Live, c.Slabs))]);

    private static string Report(TraceReplayResult result)
    {
        using var text = new StringWriter(CultureInfo.InvariantCulture);
        text.WriteLine($"rules: Linux {result.Kernel.Line.Name}");
        foreach (string warning in result.Kernel.Warnings)
        {
            text.WriteLine($"warning: {warning}");
        }

        if (result.UnknownFlags.Count != 0)
        {
            text.WriteLine($"flags of unknown meaning, read as none: {string.Join(", ", result.UnknownFlags)}");
        }

        if (result.NotPredictable is string reason)
        {
            text.WriteLine(result.TellingStart == 0 ? $"frame numbers cannot be predicted well: {reason}"
                : $"{reason}: {result.TellingStart} allocations are the first use of a frame that it was made from, of the other {result.Allocations - result.TellingStart} {result.PredictedUntold} ({RecordingOutcome.PercentText(result.PredictedUntold, result.Allocations - result.TellingStart)} %) are predicted");
        }

        if (result.LostEvents != 0)
        {
            text.WriteLine($"the recording says that it lost {result.LostEvents} events");
        }

        if (result.EventsWithoutCpu != 0)
        {
            text.WriteLine($"{result.EventsWithoutCpu} events name no CPU and are taken as of CPU 0 (perf script -F with cpu tells it)");
        }

        // A console of its own: the same tables as everywhere, into a string.
        var tables = new ToolConsole(text, text);
        tables.WriteTable(
            ["event", "recorded", "replayed"],
            result.Events.Select(e => (string[])[e.Name, $"{e.Recorded}", e.Replayed is long count ? $"{count}" : "-"]));
        if (result.KswapdWakeups is { Replayed: long replayed } wakeups && (wakeups.Recorded != 0 || (replayed != 0 && Reclaims(result))))
        {
            text.WriteLine($"kswapd woken: {replayed} times by the replayed allocations, {wakeups.Recorded} recorded (its rounds are taken from the recording; not compared)");
        }

        WritePages(tables, result.Pages);
        WriteSlab(text, result.Slab);
        if (result.SlabReplay is { } slab)
        {
            WriteSlabReplay(tables, slab);
        }

        if (result.Cpus.Sum(c => c.Predicted) != 0)
        {
            text.WriteLine($"frame numbers predicted: {result.Predicted} of {result.Allocations} ({RecordingOutcome.PercentText(result.Predicted, result.Allocations)} %){(result.Cpus.Count > 1 ? "; " + string.Join(", ", result.Cpus.Select(c => $"CPU {c.Cpu}: {c.Predicted} of {c.Allocations}")) : "")}");
            if (result.Displaced != 0)
            {
                text.WriteLine($"  in the order recorded: {result.Predicted - result.Displaced} ({RecordingOutcome.PercentText(result.Predicted - result.Displaced, result.Allocations)} %); {result.Displaced} more once events that an interrupt or another task displaced are in order");
            }

            foreach (TraceReplayMiss miss in result.Misses)
            {
                text.WriteLine($"  missed {miss.Count}: {miss.Reason}");
            }

            text.WriteLine($"pages taken without an event: {result.UntracedPagesInferred} inferred, {result.UntracedPagesNoticed} noticed after a miss, {result.UntracedPagesFoundAtFree} found when freed; drains asked for: {result.ExplicitDrains}{(result.StatDrains != 0 ? $"; drains by updates of counters: {result.StatDrains}, {result.StatDrainsAsRecorded} of as many pages as the rule says" : "")}{(result.LimitsCorrected != 0 ? $"; limits corrected: {result.LimitsCorrected}" : "")}{(result.FreedPastLists != 0 ? $"; freed past the lists: {result.FreedPastLists}" : "")}{(result.GivenBackUnseen != 0 ? $"; given back unseen: {result.GivenBackUnseen}" : "")}");
        }

        return text.ToString();
    }

    private static void WritePages(ToolConsole tables, TracePageStatistics pages)
    {
        if (pages.Rows.Count == 0)
        {
            return;
        }

        tables.Out.WriteLine($"pages: {pages.AllocatedBlocks} blocks ({pages.AllocatedPages} pages) allocated, {pages.FreedBlocks} ({pages.FreedPages}) freed, {pages.FailedRequests} requests failed");
        tables.WriteTable(
            ["order", "type", "allocated", "of these freed", "failed"],
            pages.Rows.Select(r => (string[])[$"{r.Order}", r.MigrateType?.ToString() ?? "(of other blocks)", $"{r.Allocated}", $"{r.Freed}", $"{r.Failed}"]),
            textColumns: 2);
    }

    private static void WriteSlab(StringWriter text, TraceSlabStatistics slab)
    {
        if (slab.KmallocObjects + slab.CacheObjects + slab.Frees == 0)
        {
            return;
        }

        text.WriteLine($"slab: {slab.KmallocObjects} objects of kmalloc, {slab.CacheObjects} of caches, {slab.Frees} freed; {slab.BytesRequested} bytes requested, {slab.BytesAllocated} delivered, {100 * slab.InternalFragmentation:F2} % internal fragmentation");
    }

    private static void WriteSlabReplay(ToolConsole tables, TraceSlabReplay slab)
    {
        tables.Out.WriteLine($"slab replay: {slab.Comparison.Matched} of {slab.Comparison.Total} equal; {slab.Freed} objects freed, {slab.FreedWithoutEvent} freed without an event, {slab.FreesOfUnknown} frees of objects never seen allocated (not replayed); {slab.LiveObjects} live at the end; {slab.SlabPages} slab pages, at most {slab.PeakSlabPages}");
        tables.WriteTable(
            ["cache", "slot", "allocated", "freed", "freed unseen", "requested bytes", "delivered bytes", "live", "slabs"],
            slab.Caches.Select(c => (string[])[
                c.PropertiesKnown ? c.Cache : c.Cache + " *", $"{c.SlotBytes}", $"{c.Allocated}", $"{c.Freed}", $"{c.FreesOfUnknown}", $"{c.BytesRequested}", $"{c.BytesAllocated}", $"{c.Live}", $"{c.Slabs}"]));
        if (slab.Caches.Any(c => !c.PropertiesKnown))
        {
            tables.Out.WriteLine("* alignment and flags are not recorded: the first that lead from the object's size to the slot's");
        }
    }
}
