using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Hardware;

public class NumaTopologyTests
{
    private static readonly NumaNode Low = new(0, 0, "1G", 0), High = new(1, 1 << 30, "1G", 1);

    [Fact]
    public void Impossible_topologies_are_refused_with_the_reason()
    {
        Refused(() => NumaTopology.Of(Low, High with { Memory = [(0x3fff_f000, 8192)] }), "*0x3ffff000 belongs to node 0 and to node 1*");
        Refused(() => NumaTopology.Of(Low, High with { Cpus = [0] }), "*CPU 0 is in node 0 and in node 1*");
        Refused(() => NumaTopology.Of(High), "*node 1 stands where node 0 is expected*");
        Refused(() => NumaTopology.Of(new NumaNode(0, [], [0])), "*no node has memory*");
        Refused(() => NumaTopology.Of([Low, High], new[,] { { 10, 5 }, { 20, 10 } }), "*distance 5 from node 0 to node 1*");
        Refused(() => NumaTopology.Of([Low, High], new[,] { { 10 } }), "*1 x 1 for 2 nodes*");
        Refused(() => MachineSpec.X86_64("2G").WithNodes(NumaTopology.Of(Low, High)), "*node 1 has CPU 1*");
    }

    [Fact]
    public void Distances_are_those_given_or_the_usual_ones()
    {
        NumaTopology.Of([Low, High], new[,] { { 10, 31 }, { 21, 10 } }).Distance(0, 1).Should().Be(31);
        NumaTopology usual = NumaTopology.Of(Low, High);
        usual.Distance(1, 1).Should().Be(NumaTopology.LocalDistance);
        usual.Distance(1, 0).Should().Be(NumaTopology.RemoteDistance);
    }

    private static void Refused(Action action, string message) => action.Should().Throw<ArgumentException>().WithMessage(message);
}
