using FluentAssertions;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Oracle.Tests.Replay;

/// <summary>Recordings whose lists were not read: the start is put together from counts, page flags and the events themselves.</summary>
public sealed class TraceStartTests
{
    [Fact]
    public void The_fork_trace_of_7_1_is_predicted_though_its_lists_were_never_read()
    {
        using TraceReplay replay = TraceReplay.Open(ReplayData.Trace("amd64k71-256M-smp1-fork"));

        TraceReplayResult result = replay.Run();

        result.Kernel.Line.Name.Should().Be("7.1");
        result.NotPredictable.Should().Contain("were not read");
        result.Allocations.Should().Be(18_887);
        result.TellingStart.Should().BeInRange(1, 300, "so few frames are used for the first time");
        result.PredictedUntold.Should().BeGreaterThanOrEqualTo(18_638);
        result.ShareUntold.Should().BeGreaterThan(0.9995);
        result.Share.Should().BeGreaterThan(0.9995);
        replay.Machine!.Verify();
    }

    [Theory]
    [InlineData("amd64k618-256M-smp1-fork")]
    [InlineData("amd64k70-256M-smp1-fork")]
    [InlineData("amd64k73-256M-smp1-fork")]
    [InlineData("amd64-256M-smp1-fork")]
    [InlineData("amd64-1G-smp1-sort")]
    [InlineData("amd64k73-256M-smp1-tmpfs")]
    [InlineData("amd64k73-256M-smp1-oom")]
    public void With_the_lists_withheld_as_much_is_predicted_as_with_them(string name)
    {
        string folder = Directory.CreateTempSubdirectory("memsim-start-").FullName;
        try
        {
            foreach (string file in Directory.GetFiles(ReplayData.Trace(name)).Where(f => !f.Contains("mmlists", StringComparison.Ordinal)))
            {
                File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
            }

            using TraceReplay told = TraceReplay.Open(ReplayData.Trace(name));
            using TraceReplay untold = TraceReplay.Open(folder);
            TraceReplayResult with = told.Run();
            TraceReplayResult without = untold.Run();

            with.TellingStart.Should().Be(0);
            with.ShareUntold.Should().Be(with.Share);
            without.TellingStart.Should().BePositive();
            without.Share.Should().BeApproximately(with.Share, 0.001);
            without.ShareUntold.Should().BeGreaterThan(0.998);
            untold.Machine!.Verify();
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
