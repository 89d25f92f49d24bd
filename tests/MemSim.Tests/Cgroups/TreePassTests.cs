using FluentAssertions;
using MemSim.Reclaim;
using Xunit;

namespace MemSim.Tests.Cgroups;

/// <summary>Where a pass over the tree of cgroups begins (<c>mem_cgroup_iter()</c> in <c>shrink_node_memcgs()</c>, 6.12).</summary>
public sealed class TreePassTests
{
    [Theory]
    [InlineData(false, false, false, 2)]
    [InlineData(true, false, false, 0)]
    [InlineData(false, true, false, 0)]
    [InlineData(false, false, true, 0)]
    public void Direct_reclaim_goes_on_behind_where_an_earlier_pass_had_enough_and_nobody_else_does(bool kswapd, bool walksAll, bool takesLow, int first)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithKernel("6.12"));
        machine.Reclaim.LruGen.Write("n");
        machine.Cgroups.Create("/a");
        machine.Cgroups.Create("/b");
        PageReclaim vmscan = machine.Reclaim.Vmscan;
        NodeReclaimState state = vmscan.StateOf(machine.Nodes[0]);
        state.Lists.WalkPosition = machine.Lru.VecOf(0, 1);
        ScanControl sc = new();
        sc.Start(Gfp.Kernel, 0, state.Node.Zones.Count - 1, 32, kswapd);
        (sc.WalksAll, sc.TakesLow) = (walksAll, takesLow);

        vmscan.BeginPass(state, sc);

        sc.Lists!.CgroupId.Should().Be(first);
        sc.IsPartial.Should().Be(first != 0);
    }
}
