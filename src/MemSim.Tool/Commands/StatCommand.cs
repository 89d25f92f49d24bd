using System.CommandLine;
using System.Globalization;
using MemSim.Recordings;
using MemSim.Tool.CommandLine;
using MemSim.Tool.Json;
using MemSim.Tool.Recordings;

namespace MemSim.Tool.Commands;

/// <summary><c>memsim stat</c>: who allocates, how much of it and for how long, as <c>perf kmem stat</c> says it.</summary>
internal static class StatCommand
{
    private const int UsualLines = 20;

    /// <summary>What rows can be sorted by, largest first.</summary>
    private static readonly Dictionary<string, Func<TraceSlabRow, double>> Keys = new(StringComparer.Ordinal)
    {
        ["bytes"] = r => r.BytesAllocated,
        ["objects"] = r => r.Objects,
        ["live"] = r => r.Live,
        ["waste"] = r => r.BytesAllocated - r.BytesRequested,
        ["frag"] = r => r.InternalFragmentation,
        ["pingpong"] = r => r.FreedElsewhere,
    };

    public static Command Create(ToolConsole console)
    {
        var trace = new Argument<string>("TRACE") { Description = "The text of a trace (.txt, .txt.gz), or its folder; - for standard input." };
        var caller = new Option<bool>("--caller") { Description = "Slab objects by calling function instead of by cache." };
        var sort = new Option<string>("--sort") { Description = $"What rows of slab objects are sorted by, largest first: {string.Join(", ", Keys.Keys)}.", HelpName = "KEY", DefaultValueFactory = _ => "bytes" };
        var lines = new Option<int>("--lines") { Description = $"Rows to print; {UsualLines} where not given.", HelpName = "N", DefaultValueFactory = _ => UsualLines };
        Option<bool> json = SharedOptions.Json();
        sort.CompletionSources.Add([.. Keys.Keys]);
        var command = new Command("stat", "Counts what a trace allocates and frees: by cache or caller, order, migrate type and flags.") { trace, caller, sort, lines, json };
        command.SetAction(parsed =>
        {
            string key = parsed.GetValue(sort)!;
            if (!Keys.TryGetValue(key, out Func<TraceSlabRow, double>? keyOf))
            {
                throw new BadInputException($"--sort: there is no '{key}', only {string.Join(", ", Keys.Keys)}");
            }

            int rows = parsed.GetValue(lines);
            if (rows < 0)
            {
                throw new BadInputException($"--lines: {rows} is no number of rows");
            }

            string path = parsed.GetValue(trace)!;
            bool asJson = parsed.GetValue(json);
            TraceStatistics Of(string file) => Read(console, file, quiet: asJson);
            TraceStatistics statistics = StandardInput.IsMeant(path) ? StandardInput.Spool(console.OpenInput(), Of) : Of(path);
            if (statistics.Events == 0)
            {
                throw new BadInputException($"{(StandardInput.IsMeant(path) ? StandardInput.Name : path)}: no event of the page allocator or of slabs is in it");
            }

            IOrderedEnumerable<TraceSlabRow> Sorted(IReadOnlyList<TraceSlabRow> all) => all.OrderByDescending(keyOf).ThenByDescending(r => r.BytesAllocated).ThenBy(r => r.Name, StringComparer.Ordinal);
            if (asJson)
            {
                console.WriteJson(ToDocument(StandardInput.IsMeant(path) ? StandardInput.Name : path, statistics, Sorted), ToolJsonContext.Default.StatDocument);
                return ExitCode.Done;
            }

            bool byCaller = parsed.GetValue(caller);
            IReadOnlyList<TraceSlabRow> slab = byCaller ? statistics.Slab.ByCallSite : statistics.Slab.ByCache;
            Write(console, statistics);
            WriteSlab(console, statistics.Slab, byCaller ? "caller" : "cache", [.. Sorted(slab).Take(rows)], slab.Count);
            WritePages(console, statistics.Pages, rows);
            return ExitCode.Done;
        });
        return command;
    }

    private static TraceStatistics Read(ToolConsole console, string path, bool quiet)
    {
        if (path.Length == 0)
        {
            throw new BadInputException("TRACE: the name of a file is missing");
        }

        string file = path;
        if (Directory.Exists(path))
        {
            file = TraceReplay.TracesIn(path) is [string first, ..] ? first : throw new BadInputException($"{path}: no trace is there");
        }

        long lines = console.ShowsProgress(quiet) ? LineCount.Of(file) : 0;
        return console.WithProgress($"reading {Path.GetFileName(file)}", lines, quiet, progress => TraceStatistics.Read(file, progress));
    }

    private static void Write(ToolConsole console, TraceStatistics statistics)
    {
        console.Out.WriteLine($"{statistics.Events} events{(statistics.LostEvents == 0 ? "" : $", {statistics.LostEvents} more were lost in recording")}");
        if (statistics.UnknownFlags.Count != 0)
        {
            console.Out.WriteLine($"flags of unknown meaning, read as none: {string.Join(", ", statistics.UnknownFlags)}");
        }
    }

    private static void WriteSlab(ToolConsole console, TraceSlabStatistics slab, string what, IReadOnlyList<TraceSlabRow> rows, int all)
    {
        if (slab.KmallocObjects + slab.CacheObjects + slab.Frees == 0)
        {
            return;
        }

        console.Out.WriteLine();
        console.Out.WriteLine($"slab: {slab.KmallocObjects} objects of kmalloc, {slab.CacheObjects} of caches; {slab.Frees} freed, {slab.FreesOfUnknown} of them allocated before, {slab.FreedElsewhere} on another CPU than allocated");
        console.Out.WriteLine($"  {slab.BytesRequested} bytes requested, {slab.BytesAllocated} delivered, {slab.BytesFreed} freed again; {slab.BytesAllocated - slab.BytesRequested} wasted inside objects ({Percent(slab.InternalFragmentation)} %)");
        console.WriteTable(
            [what, "objects", "live", "bytes", "requested", "frag %", "freed elsewhere"],
            rows.Select(r => (string[])[r.Name.Length == 0 ? "(not recorded)" : r.Name, $"{r.Objects}", $"{r.Live}", $"{r.BytesAllocated}", $"{r.BytesRequested}", Percent(r.InternalFragmentation), $"{r.FreedElsewhere}"]));
        WriteLeftOut(console, all - rows.Count);
    }

    private static void WritePages(ToolConsole console, TracePageStatistics pages, int rows)
    {
        if (pages.Rows.Count == 0)
        {
            return;
        }

        console.Out.WriteLine();
        console.Out.WriteLine($"pages: {pages.AllocatedBlocks} blocks ({pages.AllocatedPages} pages) allocated, {pages.AllocatedAndFreedBlocks} of them freed again; {pages.FreedBlocks} ({pages.FreedPages} pages) freed in all; {pages.FailedRequests} requests failed");
        console.WriteTable(
            ["order", "type", "allocated", "of these freed", "failed"],
            pages.Rows.Select(r => (string[])[$"{r.Order}", r.MigrateType?.ToString() ?? "(of other blocks)", $"{r.Allocated}", $"{r.Freed}", $"{r.Failed}"]),
            textColumns: 2);
        console.WriteTable(["flags", "blocks", "pages"], pages.ByGfp.Take(rows).Select(g => (string[])[GfpText.Format(g.Gfp), $"{g.Blocks}", $"{g.Pages}"]));
        WriteLeftOut(console, pages.ByGfp.Count - rows);
    }

    private static void WriteLeftOut(ToolConsole console, int rows)
    {
        if (rows > 0)
        {
            console.Out.WriteLine($"({rows} more; --lines)");
        }
    }

    private static string Percent(double share) => (100 * share).ToString("F2", CultureInfo.InvariantCulture);

    private static StatDocument ToDocument(string name, TraceStatistics s, Func<IReadOnlyList<TraceSlabRow>, IEnumerable<TraceSlabRow>> sorted)
    {
        IReadOnlyList<StatRowDocument> Rows(IReadOnlyList<TraceSlabRow> rows) =>
            [.. sorted(rows).Select(r => new StatRowDocument(r.Name, r.Objects, r.Live, r.BytesRequested, r.BytesAllocated, Math.Round(r.InternalFragmentation, 4), r.FreedElsewhere))];
        return new StatDocument(
            "stat",
            name,
            s.Events,
            s.LostEvents,
            s.UnknownFlags,
            new StatPagesDocument(
                s.Pages.AllocatedBlocks,
                s.Pages.AllocatedPages,
                s.Pages.FreedBlocks,
                s.Pages.FreedPages,
                s.Pages.AllocatedAndFreedBlocks,
                s.Pages.FailedRequests,
                [.. s.Pages.Rows.Select(r => new TracePageDocument(r.Order, r.MigrateType?.ToString(), r.Allocated, r.Freed, r.Failed))],
                [.. s.Pages.ByGfp.Select(g => new StatGfpDocument(GfpText.Format(g.Gfp), g.Blocks, g.Pages))]),
            new StatSlabDocument(
                s.Slab.KmallocObjects,
                s.Slab.CacheObjects,
                s.Slab.Frees,
                s.Slab.FreesOfUnknown,
                s.Slab.FreedElsewhere,
                s.Slab.BytesRequested,
                s.Slab.BytesAllocated,
                s.Slab.BytesFreed,
                Math.Round(s.Slab.InternalFragmentation, 4),
                Rows(s.Slab.ByCallSite),
                Rows(s.Slab.ByCache)));
    }
}
