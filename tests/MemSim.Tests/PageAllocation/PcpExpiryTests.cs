using FluentAssertions;
using MemSim.Zones;
using Xunit;

namespace MemSim.Tests.PageAllocation;

/// <summary>Lists of other nodes' zones that lie idle give their pages back, a batch at every third periodic update (<c>expire</c>).</summary>
public sealed class PcpExpiryTests
{
    [Theory]
    [InlineData("6.1")]
    [InlineData("6.12")]
    [InlineData("7.3")]
    public void A_batch_of_another_nodes_pages_goes_back_at_the_third_update_after_a_counter_changed(string kernel)
    {
        using Machine machine = TwoNodes(kernel);
        (PerCpuPages remote, PerCpuPages local) = Filled(machine);
        int batch = remote.Batch;
        (int before, int kept) = (remote.Count, local.Count);
        before.Should().BeGreaterThan(2 * batch).And.BeLessThan(remote.High);

        for (int drained = 0; drained < 2; drained++)
        {
            Count(machine);
            int count = remote.Count;
            Seconds(machine, 2);
            remote.Count.Should().Be(count, "two updates are not enough");
            remote.FreePagesDiff.Should().Be(0);
            Seconds(machine, 1);
            remote.Count.Should().Be(count - batch);
        }

        local.Count.Should().Be(kept, "a node's own CPU keeps what it has");
        machine.Verify();
    }

    [Fact]
    public void What_is_counted_in_between_starts_the_count_anew()
    {
        using Machine machine = TwoNodes("6.1");
        (PerCpuPages remote, _) = Filled(machine);
        Count(machine);
        int count = remote.Count;
        for (int i = 0; i < 5; i++)
        {
            Seconds(machine, 2);
            remote.Count.Should().Be(count);
            Count(machine);
        }

        Seconds(machine, 3);
        remote.Count.Should().Be(count - remote.Batch);
        machine.Verify();
    }

    [Fact]
    public void A_long_time_at_once_is_as_many_updates()
    {
        using Machine one = TwoNodes("6.1");
        using Machine two = TwoNodes("6.1");
        (PerCpuPages a, _) = Filled(one);
        (PerCpuPages b, _) = Filled(two);
        Count(one);
        Count(two);
        a.Count.Should().BeGreaterThan(2 * a.Batch);
        Seconds(one, 7);
        two.AdvanceTime(TimeSpan.FromSeconds(7));
        a.Count.Should().BePositive().And.Be(b.Count);
        one.AdvanceTime(TimeSpan.FromHours(1));
        (a.Count, a.FreePagesDiff).Should().Be((0, 0), "giving a batch back is counted page by page, which starts the next wait, until nothing is left");
        one.Verify();
    }

    [Fact]
    public void Periodic_updates_fold_what_cpus_counted_for_themselves()
    {
        using Machine machine = TwoNodes("7.3");
        Zone zone = machine.Nodes[1].Zones.Last(z => z.IsPopulated);
        Count(machine);
        zone.FreePages.Should().NotBe(zone.TrueFreePages);
        Seconds(machine, 1);
        zone.FreePages.Should().Be(zone.TrueFreePages);
        machine.Verify();
    }

    /// <summary>A block that per-CPU lists do not hold, and smaller than what a CPU keeps to itself of the counter of free pages.</summary>
    private static void Count(Machine machine)
    {
        PerCpuPages remote = Of(machine, 1);
        remote.StatThreshold.Should().BeGreaterThanOrEqualTo(1 << 4);
        do
        {
            machine.Cpus[0].Pages.AllocPagesNode(1, Gfp.Kernel, 4).IsNull.Should().BeFalse();
        }
        while (remote.FreePagesDiff == 0);
    }

    private static Machine TwoNodes(string kernel) => Machine.Boot(MachineSpec.X86_64("4G", cpus: 2).WithNodes("2G", "2G").WithKernel(kernel));

    private static void Seconds(Machine machine, int count)
    {
        for (int i = 0; i < count; i++)
        {
            machine.AdvanceTime(TimeSpan.FromSeconds(1));
        }
    }

    /// <summary>Fills the lists of the first CPU, for its own node and for the other one, without a drain.</summary>
    private static (PerCpuPages Remote, PerCpuPages Local) Filled(Machine machine)
    {
        Cpu cpu = machine.Cpus[0];
        foreach (int node in (int[])[0, 1])
        {
            PerCpuPages pcp = Of(machine, node);
            List<Page> pages = [.. Enumerable.Range(0, pcp.Batch * 3).Select(_ => cpu.Pages.AllocPagesNode(node, Gfp.Kernel))];
            pages.ForEach(cpu.FreePage);
        }

        return (Of(machine, 1), Of(machine, 0));
    }

    private static PerCpuPages Of(Machine machine, int node) => machine.Nodes[node].Zones.Last(z => z.IsPopulated).Pcp[0];
}
