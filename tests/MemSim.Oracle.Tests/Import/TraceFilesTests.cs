using System.Globalization;
using System.Text.RegularExpressions;
using FluentAssertions;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Oracle.Tests.Import;

public partial class TraceFilesTests
{
    [Theory]
    [InlineData("amd64-256M-smp1-idle-full")]
    [InlineData("i386-1G-smp1-oom")]
    public void Whole_traces_have_the_events_that_the_kernel_counted(string name)
    {
        string[] row = File.ReadAllLines(ImportData.PathOf("index.tsv")).Select(line => line.Split('\t')).Single(fields => fields[0] == name);
        Dictionary<string, int> expected = row[6].Split(' ').Select(count => count.Split('=')).ToDictionary(pair => pair[0], pair => int.Parse(pair[1], CultureInfo.InvariantCulture));
        using TraceReader reader = new(ImportData.PathOf(name + ".trace.txt.gz"));
        List<TraceEvent> events = ReadAll(reader);

        events.GroupBy(e => e.EventName).ToDictionary(group => group.Key, group => group.Count()).Should().Equal(expected);
        reader.EntriesInBuffer.Should().Be(events.Count);
        reader.EntriesWritten.Should().Be(long.Parse(row[2], CultureInfo.InvariantCulture));
        reader.CpuCount.Should().Be(1);
        (reader.RepairedLines, reader.UnreadableLines, reader.LostEvents).Should().Be((0, 0, 0));
    }

    [Theory]
    [InlineData("amd64-256M-smp1-idle-full.trace.txt.gz")]
    [InlineData("i386-1G-smp1-oom.trace.txt.gz")]
    [InlineData("smp1-fork-tlb.head.trace.txt.gz")]
    [InlineData("smp2-fork-full-hash.head.trace.txt.gz")]
    [InlineData("smp2-pagecache.head.trace.txt.gz")]
    [InlineData("smp2-fork.trace-cmd-report.txt.gz")]
    [InlineData("smp2-fork.trace-cmd-report-l.txt.gz")]
    [InlineData("smp2-fork.perf-script.txt.gz")]
    [InlineData("smp2-fork.perf-script-ns.txt.gz")]
    public void Every_event_reads_as_its_line_says(string file)
    {
        string[] lines = ImportData.Lines(ImportData.PathOf(file));
        using TraceReader reader = new(ImportData.PathOf(file));
        int compared = 0;
        foreach (string line in lines)
        {
            Match match = EventLine().Match(line);
            if (!match.Success)
            {
                (line[0] == '#' || line.StartsWith("cpus=", StringComparison.Ordinal)).Should().BeTrue(line);
                continue;
            }

            reader.TryRead(out TraceEvent e).Should().BeTrue();
            e.EventName.Should().Be(match.Groups["event"].Value, line);
            e.Cpu.Should().Be(Number(match, "cpu"), line);
            e.Pid.Should().Be(Number(match, "pid"), line);
            e.TaskName.Should().Be(match.Groups["task"].Value, line);
            string time = match.Groups["time"].Value;
            e.TimestampNs.Should().Be(time.Contains('.') ? (long)(decimal.Parse(time, CultureInfo.InvariantCulture) * 1_000_000_000m) : long.Parse(time, CultureInfo.InvariantCulture), line);
            CompareFields(e, line);
            compared++;
        }

        reader.TryRead(out _).Should().BeFalse();
        compared.Should().BeGreaterThan(300);
    }

    [Fact]
    public void All_formats_of_trace_cmd_tell_the_same()
    {
        using TraceReader columns = new(ImportData.PathOf("smp2-fork.trace-cmd-report.txt.gz"));
        using TraceReader latency = new(ImportData.PathOf("smp2-fork.trace-cmd-report-l.txt.gz"));
        List<TraceEvent> left = ReadAll(columns);
        List<TraceEvent> right = ReadAll(latency);
        left.Select(e => Key(e, 1)).Should().Equal(right.Select(e => Key(e, 1)));
        right.Should().OnlyContain(e => e.Context.HasFlag(TraceContext.Known));
        right.Should().Contain(e => e.PreemptDepth > 0 && e.Context.HasFlag(TraceContext.InterruptsOff));
        left.Should().OnlyContain(e => e.Context == TraceContext.None);
        columns.CpuCount.Should().Be(2);
    }

    [Fact]
    public void All_formats_of_perf_tell_the_same()
    {
        using TraceReader micro = new(ImportData.PathOf("smp2-fork.perf-script.txt.gz"));
        using TraceReader nano = new(ImportData.PathOf("smp2-fork.perf-script-ns.txt.gz"));
        ReadAll(micro).Select(e => Key(e, 1000)).Should().Equal(ReadAll(nano).Select(e => Key(e, 1000)));
    }

    [Fact]
    public void Trace_cmds_wrong_fragmenting_field_is_not_believed()
    {
        using TraceReader reader = new(ImportData.PathOf("smp2-fork.trace-cmd-report.txt.gz"));
        TraceEvent e = ReadAll(reader).Single(e => e.Kind == TraceEventKind.PageAllocExtfrag);
        e.FallbackOrder.Should().BeGreaterThanOrEqualTo(e.PageblockOrder);
        e.Fragmenting.Should().BeFalse();
        e.ChangeOwnership.Should().BeTrue();
    }

    [Fact]
    public void Failed_allocations_are_no_page_frame_0()
    {
        using TraceReader reader = new(ImportData.PathOf("i386-1G-smp1-oom.trace.txt.gz"));
        List<TraceEvent> failed = ReadAll(reader).FindAll(e => e.Failed);
        failed.Should().NotBeEmpty();
        failed.Should().OnlyContain(e => e.Pfn == -1 && e.Kind == TraceEventKind.PageAlloc && e.Order >= 0 && e.Gfp != Gfp.None);
    }

    [Fact]
    public void A_counting_clock_is_told()
    {
        using TraceReader reader = new(ImportData.PathOf("smp2-pagecache.head.trace.txt.gz"));
        List<TraceEvent> events = ReadAll(reader);
        reader.ClockCounts.Should().BeTrue();
        events.Select(e => e.TimestampNs).Should().BeInAscendingOrder();
    }

    [Fact]
    public void Names_are_made_once()
    {
        // Two readings: the difference is what a line costs, not what a reader costs.
        string path = ImportData.PathOf("i386-1G-smp1-oom.trace.txt.gz");
        using TraceReader reader = new(path);
        for (int i = 0; i < 5000; i++)
        {
            reader.TryRead(out _).Should().BeTrue();
        }

        long before = GC.GetAllocatedBytesForCurrentThread();
        int read = 0;
        while (reader.TryRead(out _))
        {
            read++;
        }

        (GC.GetAllocatedBytesForCurrentThread() - before).Should().BeLessThan(read * 2);
    }

    private static List<TraceEvent> ReadAll(TraceReader reader)
    {
        List<TraceEvent> events = [];
        while (reader.TryRead(out TraceEvent e))
        {
            events.Add(e);
        }

        return events;
    }

    private static string Key(TraceEvent e, long unit) =>
        $"{e.EventName} {e.Cpu} {e.Pid} {e.TimestampNs / unit} {e.Pfn} {e.Order} {e.MigrateType} {e.Gfp} {e.PercpuRefill} {e.Failed} {e.Ptr:x} {e.BytesRequested} {e.BytesAllocated} {e.Node} {e.Accounted} {e.CacheName} {e.CallSite}";

    private static void CompareFields(TraceEvent e, string line)
    {
        Check(line, "pfn", value => (e.Failed ? 0 : e.Pfn).Should().Be(long.Parse(value[2..], NumberStyles.HexNumber, CultureInfo.InvariantCulture), line), e.Kind);
        Check(line, "order", value => e.Order.Should().Be(int.Parse(value, CultureInfo.InvariantCulture), line), e.Kind);
        Check(line, "migratetype", value => e.MigrateType.Should().Be(int.Parse(value, CultureInfo.InvariantCulture), line), e.Kind);
        Check(line, "gfp_flags", value => GfpText.Format(e.Gfp).Should().Be(value, line), e.Kind);
        Check(line, "percpu_refill", value => e.PercpuRefill.Should().Be(value == "1", line), e.Kind);
        Check(line, "alloc_order", value => e.Order.Should().Be(int.Parse(value, CultureInfo.InvariantCulture), line), e.Kind);
        Check(line, "fallback_order", value => e.FallbackOrder.Should().Be(int.Parse(value, CultureInfo.InvariantCulture), line), e.Kind);
        Check(line, "alloc_migratetype", value => e.MigrateType.Should().Be(int.Parse(value, CultureInfo.InvariantCulture), line), e.Kind);
        Check(line, "fallback_migratetype", value => e.FallbackMigrateType.Should().Be(int.Parse(value, CultureInfo.InvariantCulture), line), e.Kind);
        Check(line, "change_ownership", value => e.ChangeOwnership.Should().Be(value == "1", line), e.Kind);
        Check(line, "ptr", value => e.Ptr.Should().Be(Pointer(value), line), e.Kind);
        Check(line, "bytes_req", value => e.BytesRequested.Should().Be(long.Parse(value, CultureInfo.InvariantCulture), line), e.Kind);
        Check(line, "bytes_alloc", value => e.BytesAllocated.Should().Be(long.Parse(value, CultureInfo.InvariantCulture), line), e.Kind);
        Check(line, "node", value => e.Node.Should().Be(int.Parse(value, CultureInfo.InvariantCulture), line), e.Kind);
        Check(line, "accounted", value => e.Accounted.Should().Be(value == "true", line), e.Kind);
        Check(line, "name", value => e.CacheName.Should().Be(value, line), e.Kind);
        Check(line, "call_site", value => e.CallSite.Should().Be(value, line), e.Kind);
    }

    private static void Check(string line, string field, Action<string> compare, TraceEventKind kind)
    {
        int at = line.IndexOf($" {field}=", StringComparison.Ordinal);
        if (at >= 0 && kind != TraceEventKind.Other)
        {
            compare(line[(at + field.Length + 2)..].Split(' ')[0]);
        }
    }

    private static ulong Pointer(string text) =>
        text == "(nil)" ? 0 : ulong.Parse(text.StartsWith("0x", StringComparison.Ordinal) ? text[2..] : text, NumberStyles.HexNumber, CultureInfo.InvariantCulture);

    private static int Number(Match match, string group) => int.Parse(match.Groups[group].Value, CultureInfo.InvariantCulture);

    // One expression for all formats: name-pid or name pid or name pid/tid, [cpu] with or without flags or cpu with flags, time, event.
    [GeneratedRegex(@"^\s*(?<task>.+?)(?:-|\s+)(?:\d+/)?(?<pid>\d+)\s+(?:\[(?<cpu>\d+)\]|(?<cpu>\d)(?=[.dbD]))\s*(?:[.\w]{5})?\s+(?<time>[\d.]+):\s+(?:kmem:)?(?<event>\w+):", RegexOptions.ExplicitCapture)]
    private static partial Regex EventLine();
}
