using FluentAssertions;
using MemSim.Captures;
using Xunit;

namespace MemSim.Tests.Recordings.Import;

public class BootLogTests
{
    private const string Log = """
        [    0.000000] Fallback order for Node 0: 0 1 2
        [    0.000000] Fallback order for Node 2: 2 0 1
        [    1.208967] smpboot: x86: Booting SMP configuration:
        [    1.210090] .... node  #0, CPUs:        #1
        [    1.210590] .... node  #2, CPUs:    #2  #3
        [    1.473468] smp: Brought up 2 nodes, 4 CPUs
        """;

    [Fact]
    public void The_nodes_of_cpus_and_the_order_of_nodes_are_read()
    {
        BootLog log = BootLog.Parse(Log);

        log.CpuNodes().Should().BeEquivalentTo(new Dictionary<int, int> { [1] = 0, [2] = 2, [3] = 2 });
        log.NodeFallback().Keys.Should().BeEquivalentTo([0, 2]);
        log.NodeFallback()[2].Should().Equal(2, 0, 1);
        log.Cpus.Should().Be(4);
    }

    [Fact]
    public void A_log_of_something_else_tells_nothing()
    {
        BootLog.Parse("").CpuNodes().Should().BeEmpty();
        BootLog.Parse("Fallback order for Node x: 0 1\n.... node  #1").NodeFallback().Should().BeEmpty();
    }
}
