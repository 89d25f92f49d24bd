using FluentAssertions;
using MemSim.Tests.CompressedMemory;
using Xunit;

namespace MemSim.Tests.Swap;

/// <summary>What is known of pages that went to swap takes memory: from 6.3 to 6.17 it is given back when memory is short, and pages that come back then are no refaults.</summary>
public sealed class SwapShadowTests
{
    private const long MiB = 1 << 20;

    [Theory]
    [InlineData("6.1", false)]
    [InlineData("6.12", true)]
    [InlineData("6.17", true)]
    [InlineData("6.18", false)]
    [InlineData("7.3", false)]
    public void Nodes_of_shadows_alone_are_given_back_from_6_3_to_6_17(string kernel, bool given)
    {
        using CompressedRig rig = new(kernel);
        rig.Machine.Swap.SwapOn(new BlockDevice("swap", new ByteSize(256UL << 20))).Succeeded.Should().BeTrue();
        rig.Fill(96 * MiB);
        rig.Reclaim(88 * MiB);
        long nodes = ZramTests.Counter(rig.Machine, "workingset_nodes");
        rig.Machine.Verify();
        rig.Machine.Sysctl.Set("vm.drop_caches", "2");
        rig.Machine.Verify();
        long reclaimed = ZramTests.Counter(rig.Machine, "workingset_nodereclaim");
        rig.Check(every: 1);
        rig.Machine.Verify();

        (nodes > 100).Should().Be(given, $"{nodes} nodes are counted");
        (reclaimed > 100).Should().Be(given, $"{reclaimed} were given back");
        long refaults = ZramTests.Counter(rig.Machine, "workingset_refault_anon");
        (refaults > 8000).Should().Be(!given, $"{refaults} refaults of {ZramTests.Counter(rig.Machine, "pswpin")} pages");
    }
}
