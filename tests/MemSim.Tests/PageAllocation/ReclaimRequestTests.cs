using FluentAssertions;
using Xunit;

namespace MemSim.Tests.PageAllocation;

public class ReclaimRequestTests
{
    [Fact]
    public void A_request_allows_the_nodes_of_its_policy_and_who_reclaims_nothing_reclaims_no_node()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        Zone zone = machine.Nodes[0].Zones[0];
        ReclaimRequest request = new(machine.Cpus[0], Gfp.Kernel, 0, zone.Index, [zone]);

        request.Allows(zone).Should().BeTrue();
        (request with { NodeMask = 2 }).Allows(zone).Should().BeFalse();
        ((IReclaim)NoReclaim.Instance).ReclaimNode(zone, request).Should().BeFalse();
    }
}
