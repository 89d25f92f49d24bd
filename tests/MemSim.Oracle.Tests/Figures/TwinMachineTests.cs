using FluentAssertions;
using MemSim.Captures;
using Xunit;

namespace MemSim.Oracle.Tests.Figures;

/// <summary>Machines booted from captured ones have their nodes, CPUs and areas, not only their figures.</summary>
public class TwinMachineTests(CaptureArchive archive) : IClassFixture<CaptureArchive>
{
    [Theory]
    [MemberData(nameof(TwinTests.Machines), MemberType = typeof(TwinTests))]
    public void A_twin_has_the_cpus_nodes_and_zones_of_the_captured_machine(string name)
    {
        string directory = archive.Folder(name);
        CapturedMachine captured = CapturedMachine.Read(directory);
        using Machine twin = Machine.Boot(MachineSpec.FromProc(directory).AsBooted());

        foreach (CpuLayout cpu in captured.Layout.Cpus)
        {
            if (twin.Nodes.Any(n => n.Id == cpu.Node))
            {
                twin.Cpus[cpu.Cpu].Node.Id.Should().Be(cpu.Node);
            }
        }

        foreach (ZoneLayout zone in captured.Layout.Zones.Where(z => z.IsPopulated))
        {
            Zone mine = twin.GetNode(zone.Node).GetZone(zone.Type);
            (mine.SpannedPages, mine.PresentPages, mine.ManagedPages, mine.CmaPages).Should().Be((zone.SpannedPages, zone.PresentPages, zone.ManagedPages, zone.CmaPages));
        }

        twin.Verify();
    }
}
