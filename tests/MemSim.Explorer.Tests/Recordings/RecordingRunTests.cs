using FluentAssertions;
using MemSim.Explorer.Recordings;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Explorer.Tests.Recordings;

/// <summary>Recordings as the page takes them.</summary>
public class RecordingRunTests
{
    [Fact]
    public void A_recording_with_its_lists_is_replayed_in_pieces_as_in_one()
    {
        using RecordingRun run = Replayed();
        using TraceReplay whole = TraceReplay.Open(Path.Combine(TestData.Trace, "trace.txt.gz"), TestData.Trace);
        TraceReplayResult result = whole.Run();

        run.Result!.Allocations.Should().Be(result.Allocations).And.BePositive();
        run.Result.Predicted.Should().Be(result.Predicted);
        run.Result.Comparison.Counts.Should().BeEquivalentTo(result.Comparison.Counts);
        run.Progress.Should().Be(1);
    }

    [Fact]
    public void The_timeline_counts_every_event_once()
    {
        using RecordingRun run = Replayed();
        Timeline timeline = run.Timeline;

        timeline.Buckets.Count.Should().BeInRange(20, Timeline.MostBuckets);
        timeline.Buckets.Sum(b => b.Events).Should().Be(timeline.Events).And.Be(run.Result!.EventCount);
        timeline.Buckets.Sum(b => b.PagesAllocated).Should().Be(run.Result.Pages.AllocatedPages);
        timeline.Buckets.Sum(b => b.PagesFreed).Should().Be(run.Result.Pages.FreedPages);
        timeline.Buckets[^1].Balance.Should().Be(run.Result.Pages.AllocatedPages - run.Result.Pages.FreedPages);
        timeline.Buckets.Sum(b => b.Missed).Should().Be(run.Result.Allocations - run.Result.Predicted);
    }

    [Fact]
    public void A_timeline_of_any_length_has_few_stretches()
    {
        Timeline timeline = new();
        for (int line = 1; line <= 100_000; line++)
        {
            timeline.Add(new TraceEvent { Line = line, Kind = TraceEventKind.PageAlloc, Order = line % 3, TimestampNs = line });
        }

        timeline.Buckets.Count.Should().BeInRange(Timeline.MostBuckets / 2, Timeline.MostBuckets);
        timeline.Buckets.Sum(b => b.Events).Should().Be(100_000);
        timeline.Buckets.Sum(b => b.ByOrder.Sum()).Should().Be(100_000);
        timeline.Buckets.Select(b => b.FirstLine).Should().BeInAscendingOrder();
        timeline.ToCsv().Split('\n', StringSplitOptions.RemoveEmptyEntries).Should().HaveCount(timeline.Buckets.Count + 1);
    }

    [Fact]
    public void The_perfetto_trace_holds_the_same_numbers()
    {
        using RecordingRun run = Replayed();
        byte[] bytes = PerfettoTrace.Of(run.Timeline, "idle");
        Dictionary<string, long> sums = PerfettoFile.Sums(bytes, out IReadOnlyCollection<string> tracks);

        sums["events"].Should().Be(run.Timeline.Events);
        sums["pages allocated"].Should().Be(run.Result!.Pages.AllocatedPages);
        tracks.Should().Contain("MemSim: idle");
    }

    [Fact]
    public void What_is_no_recording_is_refused_with_how_to_make_one()
    {
        Action open = () => RecordingRun.Open([("notes.txt", "hello"u8.ToArray())]);

        open.Should().Throw<InputFileException>().WithMessage("*notes.txt*trace-cmd*");
    }

    private static RecordingRun Replayed()
    {
        RecordingRun run = RecordingRun.Open([.. Directory.GetFiles(TestData.Trace).Select(f => (Path.GetFileName(f), File.ReadAllBytes(f)))]);
        while (run.Advance())
        {
            // To the end.
        }

        return run;
    }
}
