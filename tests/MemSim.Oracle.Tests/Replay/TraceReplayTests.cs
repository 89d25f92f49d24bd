using FluentAssertions;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Oracle.Tests.Replay;

public sealed class TraceReplayTests
{
    [Theory]
    [InlineData("amd64-1G-smp1-sort", 4_700)]
    [InlineData("amd64-256M-smp1-fork", 15_600)]
    [InlineData("amd64-256M-smp1-tmpfs", 15_513)]
    [InlineData("i386-1G-smp1-oom", 3_189)]
    public void One_cpu_recordings_are_predicted_to_the_last_list(string name, long allocations)
    {
        using TraceReplay replay = TraceReplay.Open(ReplayData.Trace(name));

        TraceReplayResult result = replay.Run();

        result.NotPredictable.Should().BeNull();
        result.Allocations.Should().Be(allocations);
        result.Share.Should().BeGreaterThanOrEqualTo(0.998);
        Matched(result, "buddyinfo", "free list", "pcp list", "page block", "event count");
        replay.Machine!.Verify();
    }

    [Theory]
    [InlineData("amd64-256M-smp2-sort", 2)]
    [InlineData("i386-2G-smp2-sort", 2)]
    [InlineData("amd64-1G-smp1-hogswap2-zram", 1)]
    public void Recordings_of_two_cpus_or_with_reclaim_are_complete_and_predicted(string name, int cpus)
    {
        using TraceReplay replay = TraceReplay.Open(ReplayData.Trace(name));

        TraceReplayResult result = replay.Run();

        result.Cpus.Should().HaveCount(cpus);
        result.Cpus.Sum(c => c.Allocations).Should().Be(result.Allocations);
        result.LostEvents.Should().Be(0);
        result.Share.Should().BeGreaterThanOrEqualTo(0.998);
        Matched(result, "buddyinfo", "free list", "pcp list", "event count", "emitted events");
        replay.Machine!.Verify();
    }

    [Theory]
    [InlineData("amd64k618-256M-smp1-fork", "6.18", 18_833, 0.997)]
    [InlineData("amd64k70-256M-smp1-fork", "7.0", 18_134, 0.999)]
    [InlineData("amd64k73-256M-smp1-fork", "7.3", 18_920, 0.999)]
    public void Forks_on_newer_kernels_are_predicted_although_events_are_displaced(string name, string kernel, long allocations, double share)
    {
        using TraceReplay replay = TraceReplay.Open(ReplayData.Trace(name));

        TraceReplayResult result = replay.Run();

        result.Kernel.Line.Name.Should().Be(kernel);
        result.Kernel.Warnings.Should().BeEmpty();
        result.Allocations.Should().Be(allocations);
        result.Share.Should().BeGreaterThanOrEqualTo(share);
        result.ShareInOrder.Should().BeGreaterThanOrEqualTo(0.993).And.BeLessThan(result.Share);
        result.FreedPastLists.Should().BePositive();
        Matched(result, "page block", "event count");
        replay.Machine!.Verify();
    }

    [Fact]
    public void Each_cpu_of_a_numa_machine_takes_from_its_own_node()
    {
        using TraceReplay replay = TraceReplay.Open(ReplayData.Trace("amd64k73-2G-numa2-mixed"));

        TraceReplayResult result = replay.Run();

        replay.Machine!.Cpus.Select(cpu => cpu.Node.Id).Should().Equal(0, 1);
        result.Cpus.Should().AllSatisfy(cpu => ((double)cpu.Predicted / cpu.Allocations).Should().BeGreaterThan(0.999));
        Matched(result, "buddyinfo", "free list", "page block", "pcp list", "event count");
        replay.Machine!.Verify();
    }

    [Fact]
    public void The_figures_of_a_recording_add_up()
    {
        using TraceReplay replay = TraceReplay.Open(ReplayData.Trace("amd64-256M-smp1-idle-full"));

        TraceReplayResult result = replay.Run();

        Count(result, "mm_page_alloc").Should().Be(result.Allocations + result.FailedAllocations);
        result.Pages.AllocatedBlocks.Should().Be(result.Allocations);
        result.Pages.ByGfp.Sum(g => g.Pages).Should().Be(result.Pages.AllocatedPages);
        result.Pages.FreedBlocks.Should().Be(Count(result, "mm_page_free"));
        result.Slab.CacheObjects.Should().Be(Count(result, "kmem_cache_alloc"));
        result.Slab.ByCallSite.Sum(s => s.BytesAllocated).Should().Be(result.Slab.BytesAllocated);
        result.Slab.BytesRequested.Should().BePositive().And.BeLessThanOrEqualTo(result.Slab.BytesAllocated);
        result.EventCount.Should().Be(644);
    }

    [Fact]
    public void A_recording_that_starts_at_boot_is_counted_but_not_predicted()
    {
        using TraceReplay replay = TraceReplay.Open(ReplayData.Trace("amd64-256M-smp1-boot"));

        TraceReplayResult result = replay.Run();

        replay.Machine.Should().BeNull();
        result.NotPredictable.Should().Contain("before-mmlists");
        result.EventCount.Should().Be(27_448);
        result.Pages.AllocatedBlocks.Should().Be(8_303);
        Matched(result, "event count");
    }

    [Fact]
    public void Tool_texts_without_lists_replay_against_counts_and_against_another_machine()
    {
        IReadOnlyList<string> traces = TraceReplay.TracesIn(ReplayData.Trace("amd64-1G-smp2-fork-tools"));
        traces.Should().HaveCount(2);
        foreach (string trace in traces)
        {
            using TraceReplay replay = TraceReplay.Open(trace);
            TraceReplayResult result = replay.Run();
            result.NotPredictable.Should().Contain("order");
            result.Allocations.Should().Be(result.Pages.AllocatedBlocks);
            replay.Machine!.Verify();
        }

        using TraceReplay like = TraceReplay.Open(traces[0], ReplayData.Trace("amd64-1G-smp1-sort"));
        like.Run().NotPredictable.Should().BeNull();
        like.Machine!.Verify();
    }

    [Fact]
    public void A_recording_is_replayed_the_same_way_every_time()
    {
        TraceReplayResult[] results = [.. Enumerable.Range(0, 2).Select(_ =>
        {
            using TraceReplay replay = TraceReplay.Open(ReplayData.Trace("amd64-256M-smp2-sort"));
            return replay.Run();
        })];

        results[0].Comparison.Should().BeEquivalentTo(results[1].Comparison);
    }

    [Fact]
    public void A_damaged_page_flags_file_is_named_with_its_line()
    {
        string folder = Directory.CreateTempSubdirectory("memsim").FullName;
        try
        {
            foreach (string file in Directory.GetFiles(ReplayData.Trace("amd64-1G-smp1-sort")))
            {
                File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
            }

            File.Delete(Path.Combine(folder, "before-kpageflags.gz"));
            File.WriteAllText(Path.Combine(folder, "before-kpageflags"), "0 256 100000000\n256 many 0\n");

            Action open = () => TraceReplay.Open(folder).Dispose();

            open.Should().Throw<InputFileException>().WithMessage("*before-kpageflags*2*many*");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void A_folder_without_a_trace_is_refused()
    {
        Action open = () => TraceReplay.Open(ReplayData.Exact).Dispose();

        open.Should().Throw<InputFileException>().WithMessage("*trace.txt*");
    }

    private static long Count(TraceReplayResult result, string name) => result.Events.Single(e => e.Name == name).Recorded;

    private static void Matched(TraceReplayResult result, params string[] kinds)
    {
        foreach (string kind in kinds)
        {
            ReplayCount count = result.Comparison.Counts.Should().ContainSingle(c => c.Kind == kind).Subject;
            count.Matched.Should().Be(count.Total, "{0}: {1}", kind, string.Join('\n', result.Comparison.Mismatches));
        }
    }
}
