using FluentAssertions;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Oracle.Tests.Replay;

/// <summary>The programs of recordings that drove a real kernel below its watermarks, run again on the twin: reclaim works as hard as it did there.</summary>
public sealed class WorkloadReplayTests
{
    /// <summary>Of events this rare one more or less is chance, not a ratio.</summary>
    private const long Rare = 10;

    /// <summary>By so much rare ones may differ where a factor of two allows less.</summary>
    private const long RareDifference = 3;

    /// <summary>What is held to a factor of two; the rest of the figures explains them.</summary>
    private static readonly string[] Compared =
    [
        "mm_vmscan_wakeup_kswapd", "mm_vmscan_kswapd_wake", "mm_vmscan_kswapd_sleep", "mm_vmscan_direct_reclaim_begin", "mm_compaction_begin",
        "pgscan_kswapd", "pgscan_direct", "pgscan", "pgsteal_kswapd", "pgsteal_direct", "pgsteal", "allocstall", "pageoutrun", "pswpout", "pgrotated", "pgmigrate_success", "oom_kill",
    ];

    /// <summary>Where it does not hold, and why: docs/fidelity.md.</summary>
    private static readonly Dictionary<(string Trace, string Figure), (double Least, double Most)> Exceptions = new()
    {
        // A CPU that idles wakes late, or does not: the wake-ups are few and each one frees much.
        [("amd64-256M-smp2-hogswap-disk", "mm_vmscan_wakeup_kswapd")] = (0.15, 2),
        [("amd64-256M-smp2-hogswap-disk", "mm_vmscan_kswapd_wake")] = (0.15, 2),
        [("amd64-256M-smp2-hogswap-disk", "pageoutrun")] = (0.15, 2),

        // The first look at each page finds it used; who looks first, kswapd or the one who waits, is chance. The sum of both is compared.
        [("amd64-1G-smp1-hogswap2-zram", "pgscan_direct")] = (0.5, 5),
        [("amd64-256M-smp1-hogswap-disk", "pgscan_direct")] = (0.5, 5),

        // Compaction in the background finds a zone with room just then, or does not: one run there, none here, or the other way round.
        [("amd64-256M-smp1-hogswap-disk", "pgmigrate_success")] = (0, 2),
        [("amd64-256M-smp2-hogswap-disk", "pgmigrate_success")] = (0, 2),
        [("amd64-256M-smp2-pagecache", "pgmigrate_success")] = (0, double.MaxValue),
    };

    [Theory]
    [InlineData("amd64-256M-smp1-hogswap-disk")]
    [InlineData("amd64-256M-smp2-hogswap-disk")]
    [InlineData("amd64-256M-smp2-pagecache")]
    [InlineData("amd64-256M-smp1-oom")]
    [InlineData("amd64-256M-smp2-oom")]
    [InlineData("amd64-1G-smp1-pagecache2")]
    [InlineData("amd64-1G-smp1-hogswap2-zram")]
    [InlineData("amd64-1G-smp2-hugepage-thp")]
    public void Reclaim_works_as_hard_as_on_the_recorded_machine(string trace) => Check(trace);

    /// <summary>Takes a gigabyte of host memory.</summary>
    [Fact]
    public void Reclaim_works_as_hard_as_on_a_recorded_machine_with_high_memory()
    {
        Assert.SkipUnless(Environment.GetEnvironmentVariable("MEMSIM_ALL_WORKLOADS") == "1", "set MEMSIM_ALL_WORKLOADS=1 to run it");
        Check("i386-1G-smp1-oom");
    }

    private static void Check(string trace)
    {
        IReadOnlyList<WorkloadFigure> figures = WorkloadReplay.Run(ReplayData.Workload(trace));
        List<string> far = [];
        int compared = 0;
        foreach (WorkloadFigure figure in figures.Where(f => Compared.Contains(f.Name)))
        {
            compared++;
            figure.Recorded.Should().BeGreaterThanOrEqualTo(0, $"{figure.Name} is in the recording");
            if (!IsClose(trace, figure))
            {
                far.Add($"{figure.Name}: recorded {figure.Recorded}, simulated {figure.Simulated}");
            }
        }

        compared.Should().Be(Compared.Length);
        far.Should().BeEmpty();
    }

    private static bool IsClose(string trace, WorkloadFigure figure)
    {
        (double least, double most) = Exceptions.GetValueOrDefault((trace, figure.Name), (0.5, 2));
        bool within = figure.Simulated >= figure.Recorded * least && (most == double.MaxValue || figure.Simulated <= figure.Recorded * most);
        return within || (figure.Recorded < Rare && Math.Abs(figure.Recorded - figure.Simulated) <= RareDifference);
    }
}
