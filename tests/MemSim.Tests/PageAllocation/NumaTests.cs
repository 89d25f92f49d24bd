using FluentAssertions;
using Xunit;
using static MemSim.Tests.TestMachines;

namespace MemSim.Tests.PageAllocation;

/// <summary>Fallback across zones and nodes, policies, and who counts what.</summary>
public class NumaTests : MachineTests
{
    private Machine TwoNodes() => Boot(With()
        .Zone(ZoneType.Dma32, 8192, node: 0).FreeBlocks(9, 4, MigrateType.Unmovable)
        .Zone(ZoneType.Normal, 8192, node: 0).FreeBlocks(9, 4, MigrateType.Unmovable)
        .Zone(ZoneType.Normal, 8192, node: 1).FreeBlocks(9, 4, MigrateType.Unmovable)
        .CpusOnNodes(0, 1));

    private static (long Hit, long Miss, long Foreign, long Interleave, long Local, long Other) Counters(Machine machine, int node)
    {
        var pcps = machine.GetNode(node).Zones.SelectMany(z => z.Pcp).ToList();
        return (pcps.Sum(p => p.NumaHit), pcps.Sum(p => p.NumaMiss), pcps.Sum(p => p.NumaForeign), pcps.Sum(p => p.NumaInterleave), pcps.Sum(p => p.NumaLocal), pcps.Sum(p => p.NumaOther));
    }

    [Fact]
    public void A_request_goes_down_the_zones_of_its_node_and_then_to_the_next_node()
    {
        Machine machine = TwoNodes();
        List<Page> pages = machine.Cpus[0].AllocateAll(Gfp.NoWait, 9);
        pages.Select(p => (p.Zone.Node.Id, p.Zone.Type)).Should().Equal(
            [.. Enumerable.Repeat((0, ZoneType.Normal), 4), .. Enumerable.Repeat((0, ZoneType.Dma32), 4), .. Enumerable.Repeat((1, ZoneType.Normal), 4)]);
        Counters(machine, 0).Should().Be((8, 0, 4, 0, 8, 0));
        Counters(machine, 1).Should().Be((0, 4, 0, 0, 0, 4));
    }

    [Fact]
    public void Each_cpu_starts_at_its_own_node()
    {
        Machine machine = TwoNodes();
        machine.Cpus[1].AllocPage(Gfp.NoWait).Zone.Node.Id.Should().Be(1);
        Counters(machine, 1).Should().Be((1, 0, 0, 0, 1, 0));
    }

    [Fact]
    public void This_node_never_leaves_the_node()
    {
        Machine machine = TwoNodes();
        machine.Cpus[0].AllocateAll(Gfp.NoWait | Gfp.ThisNode, 9).Should().HaveCount(8).And.OnlyContain(p => p.Zone.Node.Id == 0);
        machine.Cpus[0].Pages.AllocPagesNode(1, Gfp.NoWait | Gfp.ThisNode, 9).Zone.Node.Id.Should().Be(1);
    }

    [Fact]
    public void A_request_on_another_node_is_a_hit_there_that_is_not_local()
    {
        Machine machine = TwoNodes();
        machine.Cpus[0].Pages.AllocPagesNode(1, Gfp.NoWait).Zone.Node.Id.Should().Be(1);
        Counters(machine, 1).Should().Be((1, 0, 0, 0, 0, 1));
        machine.Cpus[0].Invoking(c => c.Pages.AllocPagesNode(2, Gfp.NoWait)).Should().Throw<ArgumentOutOfRangeException>();
        machine.Cpus[0].Invoking(c => c.Pages.AllocPagesNode(-1, Gfp.NoWait)).Should().Throw<ArgumentOutOfRangeException>();
    }

    [Fact]
    public void Preferred_starts_there_and_falls_back()
    {
        Machine machine = TwoNodes();
        using ContextScope running = machine.Cpus[0].Run(new KernelTask("t", 1) { Policy = MemoryPolicy.Preferred(1) });
        List<Page> pages = machine.Cpus[0].AllocateAll(Gfp.NoWait, 9);
        pages.Take(4).Should().OnlyContain(p => p.Zone.Node.Id == 1);
        pages.Skip(4).Should().HaveCount(8).And.OnlyContain(p => p.Zone.Node.Id == 0);
    }

    [Fact]
    public void Bind_stays_on_its_nodes_but_atomic_requests_may_leave_them_when_they_run_short()
    {
        Machine machine = TwoNodes();
        using ContextScope running = machine.Cpus[0].Run(new KernelTask("t", 1) { Policy = MemoryPolicy.Bind(1) });
        machine.Cpus[0].AllocateAll(Gfp.NoWait, 9).Should().HaveCount(4).And.OnlyContain(p => p.Zone.Node.Id == 1);
        Counters(machine, 1).Should().Be((4, 0, 0, 0, 0, 4));
        machine.Cpus[0].AllocPages(Gfp.Atomic, 0).Zone.Node.Id.Should().Be(0, "the kernel drops the nodemask of requests that cannot wait and have priority");
    }

    [Fact]
    public void Interleave_takes_the_nodes_in_turn()
    {
        Machine machine = TwoNodes();
        using ContextScope running = machine.Cpus[0].Run(new KernelTask("t", 1) { Policy = MemoryPolicy.Interleave(0, 1) });
        Enumerable.Range(0, 6).Select(_ => machine.Cpus[0].AllocPage(Gfp.NoWait).Zone.Node.Id).Should().Equal(0, 1, 0, 1, 0, 1);
        Counters(machine, 0).Should().Be((3, 0, 0, 3, 3, 0));
        Counters(machine, 1).Should().Be((3, 0, 0, 3, 0, 3));
    }

    [Fact]
    public void Policies_do_not_count_in_interrupts_nor_for_ThisNode()
    {
        Machine machine = TwoNodes();
        Cpu cpu = machine.Cpus[0];
        using ContextScope running = cpu.Run(new KernelTask("t", 1) { Policy = MemoryPolicy.Bind(1) });
        cpu.AllocPage(Gfp.NoWait | Gfp.ThisNode).Zone.Node.Id.Should().Be(0);
        using (cpu.SoftIrq())
        {
            cpu.AllocPage(Gfp.Atomic).Zone.Node.Id.Should().Be(0);
        }

        using (cpu.Context.DisablePreemption())
        {
            cpu.AllocPage(Gfp.NoWait).Zone.Node.Id.Should().Be(1);
        }
    }

    [Fact]
    public void Policies_refuse_impossible_nodes()
    {
        FluentActions.Invoking(() => MemoryPolicy.Bind()).Should().Throw<ArgumentException>();
        FluentActions.Invoking(() => MemoryPolicy.Preferred(-1)).Should().Throw<ArgumentOutOfRangeException>();
        FluentActions.Invoking(() => MemoryPolicy.Interleave(0, 64)).Should().Throw<ArgumentOutOfRangeException>();
    }

    [Theory]
    [InlineData(Gfp.Kernel, ZoneType.Normal)]
    [InlineData(Gfp.Kernel | Gfp.Dma32, ZoneType.Dma32)]
    [InlineData(Gfp.Kernel | Gfp.Dma, ZoneType.Dma)]
    [InlineData(Gfp.HighUserMovable, ZoneType.Movable)]
    [InlineData(Gfp.HighUser, ZoneType.Normal)]
    [InlineData(Gfp.Kernel | Gfp.Movable, ZoneType.Normal)]
    public void Flags_choose_the_highest_zone(Gfp gfp, ZoneType expected)
    {
        Machine machine = Boot(With().Zone(ZoneType.Dma, 2048).FreeBlocks(9, 2).Zone(ZoneType.Dma32, 2048).FreeBlocks(9, 2).Zone(ZoneType.Normal, 2048).FreeBlocks(9, 2).Zone(ZoneType.Movable, 2048).FreeBlocks(9, 2));
        machine.Cpus[0].AllocPage(gfp).Zone.Type.Should().Be(expected);
    }

    [Fact]
    public void Zeroed_pages_are_zero_even_after_somebody_wrote_to_them()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        VirtualAddress address = cpu.Pages.GetFreePages(Gfp.Kernel, 1);
        Page page = cpu.Pages.VirtToPage(address);
        machine.Ram.Frame(page.Pfn.Value).Fill(0xaa);
        machine.Ram.Frame(page.Pfn.Value + 1).Fill(0xaa);
        cpu.FreePages(address, 1);
        cpu.Pages.GetFreePages(Gfp.Kernel | Gfp.Zero, 1).Should().Be(address);
        machine.Ram.Frame(page.Pfn.Value).ToArray().Should().OnlyContain(b => b == 0);
        machine.Ram.Frame(page.Pfn.Value + 1).ToArray().Should().OnlyContain(b => b == 0);
        cpu.FreePages(address, 1);
        cpu.GetZeroedPage(Gfp.Kernel).IsNull.Should().BeFalse();
    }
}
