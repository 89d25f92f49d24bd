using FluentAssertions;
using MemSim.Kernels;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Oracle.Tests.Replay;

public sealed class ExactRunTests
{
    public static TheoryData<string> Runs() => [.. Directory.GetDirectories(ReplayData.Exact).Where(ExactReplay.IsRun).Select(d => Path.GetFileName(d)!).Order(StringComparer.Ordinal)];

    [Fact]
    public void All_runs_of_the_recorded_kernels_are_here() => Runs().Should().HaveCount(60);

    [Fact]
    public void Every_recorded_kernel_has_runs_that_name_it()
    {
        var kernels = new HashSet<string>(StringComparer.Ordinal);
        foreach (string run in Directory.GetDirectories(ReplayData.Exact).Where(ExactReplay.IsRun))
        {
            using ExactReplay replay = ExactReplay.Open(run);
            replay.Warnings.Should().BeEmpty(run);
            kernels.Add(replay.Machine.Personality.Name);
        }

        kernels.Should().BeEquivalentTo(KernelLines.Recorded.Select(l => l.Name));
    }

    [Theory]
    [MemberData(nameof(Runs))]
    public void Every_frame_counter_and_list_of_a_recorded_run_is_reproduced(string run)
    {
        using ExactReplay replay = ExactReplay.Open(Path.Combine(ReplayData.Exact, run));
        replay.Machine.Verify();

        ReplayResult result = replay.Run();

        result.Mismatches.Should().BeEmpty();
        result.IsExact.Should().BeTrue();
        result.Counts.Should().Contain(c => c.Kind == "pfn" && c.Total > 100);
        replay.Machine.Verify();
    }
}
