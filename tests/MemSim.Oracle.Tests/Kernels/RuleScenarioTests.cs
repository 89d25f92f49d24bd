using System.IO.Compression;
using FluentAssertions;
using MemSim.Kernels;
using MemSim.Oracle.Tests.Replay;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Oracle.Tests.Kernels;

/// <summary>Rules that none of the probes of <see cref="RuleMutationTests"/> tells, held by one recording each.</summary>
public sealed class RuleScenarioTests
{
    /// <summary>The recorder writes -1 where the kernel has no such setting: 6.12 has none, 6.17 has.</summary>
    [Fact]
    public void Defrag_mode_is_there_where_the_recorded_states_have_one()
    {
        Dictionary<string, bool> recorded = [];
        foreach (string run in Directory.GetDirectories(ReplayData.Exact, "k*").Where(d => File.Exists(Path.Combine(d, "state-pre.json.gz"))))
        {
            using StreamReader reader = new(new GZipStream(File.OpenRead(Path.Combine(run, "state-pre.json.gz")), CompressionMode.Decompress));
            string name = Path.GetFileName(run).Split('-')[0][1..];
            recorded[$"{name[0]}.{name[1..]}"] = !reader.ReadToEnd().Contains("\"defrag_mode\":-1", StringComparison.Ordinal);
        }

        recorded.Keys.Should().BeEquivalentTo("6.12", "6.17", "6.18", "6.19", "7.0", "7.1", "7.2", "7.3");
        foreach ((string kernel, bool has) in recorded)
        {
            KernelLines.Recorded.Single(l => l.Name == kernel).Views.AddedSysctls.Contains("defrag_mode").Should().Be(has, kernel);
            using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithKernel(kernel).WithoutContents());
            Action read = () => machine.Sysctl.Get("defrag_mode");
            if (has)
            {
                read.Should().NotThrow();
            }
            else
            {
                read.Should().Throw<ArgumentException>();
            }
        }
    }

    /// <summary>6.1's OOM recording has 17 direct reclaims before the kill, 7.3's one: zones with nothing on their lists are no longer counted as if what is free there could be reclaimed.</summary>
    [Fact]
    public void Before_an_oom_kill_7_3_tries_direct_reclaim_once_or_twice()
    {
        const string trace = "amd64k73-256M-smp1-oom";
        KernelPersonality line = KernelLines.Linux7_3;

        DirectReclaims(line).Should().BeInRange(1, 2, "1 is recorded");
        DirectReclaims(line with { Reclaim = line.Reclaim with { EmptyZonesCountFree = true } }).Should().BeGreaterThan(10);

        static long DirectReclaims(KernelPersonality rules) =>
            WorkloadReplay.Run(ReplayData.Workload(trace), KernelChoice.Of(rules)).Single(f => f.Name == "mm_vmscan_direct_reclaim_begin").Simulated;
    }
}
