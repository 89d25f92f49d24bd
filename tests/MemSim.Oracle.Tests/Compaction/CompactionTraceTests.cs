using System.IO.Compression;
using FluentAssertions;
using MemSim.Observability;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Oracle.Tests.Compaction;

/// <summary>A write to <c>compact_memory</c> that a real kernel recorded, against the same on the machine's twin.</summary>
/// <remarks>
/// The lists were recorded before the workload that came first, and the pages of that workload are not in them: only what does not depend on them can be
/// compared. Zone DMA was not touched by it, so there every event must be the same.
/// </remarks>
public class CompactionTraceTests
{
    private static string Folder => Path.Combine(AppContext.BaseDirectory, "Data", "compaction", "amd64-1G-smp2-hugepage-thp");

    [Fact]
    public void Compacting_zone_dma_by_hand_gives_the_recorded_events()
    {
        List<string> recorded = Fields(Lines("compaction-events.txt.gz")).SkipWhile(line => !line.Contains("order=-1", StringComparison.Ordinal))
            .TakeWhile(line => !line.Contains("zone=DMA32", StringComparison.Ordinal)).ToList();
        using Machine machine = Twin();
        StringWriter text = new();
        using FtraceTextSink sink = new(machine, text, streaming: true);
        machine.Tracing.Attach(sink, TraceEvents.Compaction);

        machine.Compaction.CompactMemory();

        List<string> simulated = Fields(text.ToString().Split('\n')).TakeWhile(line => !line.Contains("zone=DMA32", StringComparison.Ordinal)).ToList();
        recorded.Should().HaveCount(18);
        simulated.Should().Equal(recorded);
    }

    [Fact]
    public void The_scanners_stand_afterwards_where_the_kernel_left_them()
    {
        using Machine machine = Twin();

        machine.Compaction.CompactMemory();

        foreach (string line in Lines("after-scanners.txt.gz").Where(line => line.Length != 0))
        {
            string[] words = line.Split(' ');
            CompactionInfo info = machine.Compaction.Info(machine.Zones.First(zone => zone.Name == words[2] && zone.IsPopulated));
            $"compact 0 {words[2]} cached_free_pfn {info.CachedFreePfn} cached_migrate_pfn {info.CachedMigratePfnAsync} {info.CachedMigratePfnSync} considered {info.Considered} defer_shift {info.DeferShift} order_failed {info.OrderFailed}"
                .Should().Be(line);
        }

        machine.Verify();
    }

    private static Machine Twin()
    {
        string path = Path.Combine(Path.GetTempPath(), $"memsim-{Guid.NewGuid():N}-mmlists");
        File.WriteAllLines(path, Lines("before-mmlists.gz"));
        try
        {
            AllocatorState state = MmListsReader.Read(path);
            return StateRestorer.Restore(state);
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static string[] Lines(string file)
    {
        using StreamReader reader = new(new GZipStream(File.OpenRead(Path.Combine(Folder, file)), CompressionMode.Decompress));
        return reader.ReadToEnd().Split('\n');
    }

    /// <summary>The events without task, CPU and time.</summary>
    private static IEnumerable<string> Fields(IEnumerable<string> lines) =>
        lines.Select(line => line.IndexOf("mm_", StringComparison.Ordinal) is int at && at >= 0 ? line[at..].TrimEnd() : "").Where(line => line.StartsWith("mm_compaction", StringComparison.Ordinal));
}
