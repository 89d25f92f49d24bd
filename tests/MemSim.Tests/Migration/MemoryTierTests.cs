using FluentAssertions;
using MemSim.Kernels;
using MemSim.Statistics;
using Xunit;

namespace MemSim.Tests.Migration;

/// <summary>A slow node without CPUs: what is not used goes down there, what is used comes up again.</summary>
public class MemoryTierTests
{
    private const int Page = 4096;

    [Fact]
    public void Nodes_are_in_tiers_by_their_distance_and_go_down_to_the_nearest_of_the_next()
    {
        using Machine machine = Machine.Boot(SlowNode());
        MemoryTiers tiers = machine.Migration.Tiers;
        tiers.ToString().Should().Be("memory_tier4/nodelist = 0-1\nnuma/demotion_enabled = false\n");
        tiers.DemotionTargets(machine.Nodes[0]).Should().BeEmpty("all nodes are alike until somebody says otherwise");
        tiers.Place(machine.Nodes[1], MemoryTiers.DeviceDistance);
        tiers.DemotionEnabled = true;
        tiers.ToString().Should().Be("memory_tier4/nodelist = 0\nmemory_tier22/nodelist = 1\nnuma/demotion_enabled = true\n");
        tiers.DemotionTargets(machine.Nodes[0]).Should().Equal(machine.Nodes[1]);
        tiers.DemotionTargets(machine.Nodes[1]).Should().BeEmpty();
        tiers.TierOf(machine.Nodes[1]).Should().Be(22);
        (tiers.IsTop(machine.Nodes[0]), tiers.IsTop(machine.Nodes[1])).Should().Be((true, false));
        using Machine other = Machine.Boot(SlowNode());
        tiers.Invoking(t => t.Place(other.Nodes[1], 0)).Should().Throw<ArgumentException>();
    }

    [Theory]
    [InlineData("6.1")]
    [InlineData("6.18")]
    public void Unused_memory_goes_down_without_swap_and_nothing_is_lost(string kernel)
    {
        using Machine machine = Machine.Boot(SlowNode().WithKernel(kernel));
        machine.HugePages.Enabled = TransparentHugePages.Never;
        machine.Reclaim.Enable();
        machine.Migration.Tiers.Place(machine.Nodes[1], MemoryTiers.DeviceDistance);
        machine.Migration.Tiers.DemotionEnabled = true;
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("large");
        process.Policy = MemoryPolicy.Bind(0);
        const int Pages = 40_000;
        VirtualAddress at = process.Mm.Mmap((long)Pages * Page, Prot.Read | Prot.Write);
        using (cpu.Run(process))
        {
            for (int i = 0; i < Pages; i++)
            {
                cpu.Write(at + ((long)i * Page), i);
            }
        }

        long down = machine.Nodes[0].Counters.DemoteKswapd + machine.Nodes[0].Counters.DemoteDirect;
        down.Should().BeGreaterThan(10_000, "node 0 has but 128 MiB");
        machine.Events[VmEvent.SwapOut].Should().Be(0);
        machine.Oom.LastReport.Should().BeNull();
        machine.Events[VmEvent.MigrateSuccess].Should().BeGreaterThanOrEqualTo(down);
        machine.Proc.VmStat.Should().Contain($"pgdemote_direct {machine.Nodes[0].Counters.DemoteDirect}\n");
        machine.Nodes[1].Counters.AnonPages.Should().BeGreaterThan(10_000);
        machine.Nodes.Sum(n => n.Counters.IsolatedAnon).Should().Be(0);
        machine.Verify();
        using (cpu.Run(process))
        {
            for (int i = 0; i < Pages; i++)
            {
                cpu.Read<int>(at + ((long)i * Page)).Should().Be(i);
            }
        }

        process.Exit();
        machine.Verify();
    }

    [Fact]
    public void Without_leave_nothing_goes_down()
    {
        using Machine machine = Machine.Boot(SlowNode());
        machine.HugePages.Enabled = TransparentHugePages.Never;
        machine.Reclaim.Enable();
        machine.Migration.Tiers.Place(machine.Nodes[1], MemoryTiers.DeviceDistance);
        Process process = machine.CreateProcess("large");
        process.Policy = MemoryPolicy.Bind(0);
        VirtualAddress at = process.Mm.Mmap(40_000L * Page, Prot.Read | Prot.Write);
        Cpu cpu = machine.Cpus[0];
        Action fill = () =>
        {
            using (cpu.Run(process))
            {
                for (int i = 0; i < 40_000; i++)
                {
                    cpu.Write(at + ((long)i * Page), i);
                }
            }
        };
        fill.Should().Throw<Exception>();
        machine.Events[VmEvent.DemoteKswapd].Should().Be(0);
        machine.Events[VmEvent.OomKill].Should().Be(1);
    }

    [Fact]
    public void Hot_pages_come_up_within_the_rate_limit_and_cold_ones_stay()
    {
        using Machine machine = Machine.Boot(SlowNode());
        machine.HugePages.Enabled = TransparentHugePages.Never;
        machine.Migration.Tiers.Place(machine.Nodes[1], MemoryTiers.DeviceDistance);
        NumaBalancing balancing = machine.Migration.Balancing;
        balancing.Mode = NumaBalancingModes.MemoryTiering;
        balancing.PromoteRateLimit = 1;
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("hot");
        VirtualAddress at = process.Mm.Mmap(1000 * Page, Prot.Read | Prot.Write);
        process.Mm.Mbind(at, 1000 * Page, MemoryPolicy.Bind(1)).Should().Be(Errno.None);
        using (cpu.Run(process))
        {
            for (int i = 0; i < 1000; i++)
            {
                cpu.Write(at + (i * Page), i);
            }

            process.Mm.Mbind(at, 1000 * Page, null).Should().Be(Errno.None);
            machine.Lru.DrainAll(cpu);
            balancing.Scan(cpu, process).Should().BeGreaterThanOrEqualTo(1000, "only what lies on the slow node is asked about");

            machine.AdvanceTime(TimeSpan.FromMilliseconds(10));
            for (int i = 500; i < 1000; i++)
            {
                cpu.Read<int>(at + (i * Page)).Should().Be(i);
            }

            // Used late: cold.
            long candidates = machine.Nodes[0].Counters.PromoteCandidate;
            machine.AdvanceTime(TimeSpan.FromMilliseconds(1500));
            cpu.Read<int>(at).Should().Be(0);
            machine.Nodes[0].Counters.PromoteCandidate.Should().Be(candidates);

            // Once a minute the threshold follows the candidates: fewer than would be let through make it higher.
            balancing.HotThresholdOf(machine.Nodes[0]).Should().Be(0);
            machine.AdvanceTime(TimeSpan.FromSeconds(61));
            cpu.Read<int>(at + Page).Should().Be(1);
            balancing.HotThresholdOf(machine.Nodes[0]).Should().Be(1125);
        }

        machine.Nodes[0].Counters.PromoteCandidate.Should().BeGreaterThanOrEqualTo(256);
        machine.Nodes[0].Counters.PromoteSuccess.Should().Be(256, "1 MB in a second are 256 pages");
        machine.Events[VmEvent.NumaPagesMigrated].Should().Be(256);
        machine.Verify();
    }

    [Fact]
    public void Memory_is_spread_by_weights()
    {
        using Machine machine = Machine.Boot(SlowNode().WithPersonality(KernelLines.Linux6_12));
        machine.HugePages.Enabled = TransparentHugePages.Never;
        machine.Migration.InterleaveWeights[0].Should().Be(1);
        machine.Migration.InterleaveWeights[0] = 5;
        machine.Migration.InterleaveWeights[1] = 2;
        machine.Migration.InterleaveWeights.Invoking(w => w[2] = 1).Should().Throw<ArgumentOutOfRangeException>();
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("spread");
        VirtualAddress at = process.Mm.Mmap(70 * Page, Prot.Read | Prot.Write);
        process.Mm.Mbind(at, 70 * Page, MemoryPolicy.WeightedInterleave(0, 1)).Should().Be(Errno.None);
        using (cpu.Run(process))
        {
            for (int i = 69; i >= 0; i--)
            {
                cpu.Write(at + (i * Page), i);
            }
        }

        int[] status = new int[70];
        process.QueryPages([.. Enumerable.Range(0, 70).Select(i => at + (i * Page))], status).Should().Be(Errno.None);
        status.Count(node => node == 1).Should().Be(20);
        string.Concat(status).Should().Contain("110000011", "the place in the area decides, not the order of faults");

        // The task's own policy takes turns.
        using (cpu.Run(process))
        {
            process.Policy = MemoryPolicy.WeightedInterleave(0, 1);
            string.Concat(Enumerable.Range(0, 14).Select(_ => cpu.AllocPage(Gfp.HighUser).Zone.Node.Id)).Should().Be("00000110000011");
        }

        machine.Migration.InterleaveWeights[0] = 0;
        machine.Migration.InterleaveWeights[0].Should().Be(1);
        using Machine old = Machine.Boot(SlowNode());
        old.Migration.Invoking(m => m.InterleaveWeights).Should().Throw<InvalidOperationException>();
        Process refused = old.CreateProcess("old");
        VirtualAddress there = refused.Mm.Mmap(Page, Prot.Read);
        refused.Mm.Mbind(there, Page, MemoryPolicy.WeightedInterleave(0, 1)).Should().Be(Errno.EINVAL);
    }

    private static MachineSpec SlowNode() => MachineSpec.X86_64("384M").WithNodes(NumaTopology.Of(
        new NumaNode(0, 0, ByteSize.FromMiB(128), 0), new NumaNode(1, 128UL << 20, ByteSize.FromMiB(256))));
}
