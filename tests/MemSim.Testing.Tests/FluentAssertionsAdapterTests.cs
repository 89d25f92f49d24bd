using FluentAssertions;
using FluentAssertions.Execution;
using MemSim;
using MemSim.Observability;
using MemSim.Testing;
using MemSim.Testing.FluentAssertions;
using Xunit;
using Xunit.Sdk;

namespace Fluent.Machines.Tests;

/// <summary>The assertions in the way of FluentAssertions; the methods of the package without a framework are in sight as well, and these win.</summary>
public sealed class FluentAssertionsAdapterTests : IDisposable
{
    private readonly Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));

    public void Dispose() => machine.Dispose();

    [Fact]
    public void A_failure_is_the_frameworks_own_with_reason_and_braces_intact()
    {
        AllocationMark mark = machine.Leaks.Mark();
        machine.Should().HaveNoLeaks(mark).And.BeConsistent().And.HaveOomKills(0);
        using (machine.Cpus[0].CallSite("a{0}b"))
        {
            machine.Cpus[0].AllocPages(Gfp.Kernel, 1);
        }

        Assert.Throws<XunitException>(() => machine.Should().HaveNoLeaks(mark, "the {0} was closed", "driver")).Message
            .Should().StartWith("Expected machine to have no leaks because the driver was closed, but found what was not given back:\n1 blocks of order 1 (2 pages)");
    }

    [Fact]
    public void A_scope_collects_failures()
    {
        string message = Assert.Throws<XunitException>(() =>
        {
            using AssertionScope scope = new();
            machine.Should().BeFragmented(3);
            machine.Should().HaveOomKills(7);
            machine.Should().HaveFreeBlocks(10, -1);
            machine.Should().HaveFree(-1, ZoneType.Dma32);
            machine.Should().HaveAllocationFailures(9);
        }).Message;
        message.Should().Contain("to be fragmented for order 3, but a block of order 10 is free.").And.Contain("to have 7 OOM reports, but found 0.").And.Contain("to have 9 failed requests for pages, but found 0.")
            .And.Contain("to have -1 free blocks of order 10").And.Contain("to have -1 free pages in Dma32");
    }

    [Fact]
    public void States_are_compared()
    {
        MachineSnapshot before = machine.Snapshot();
        machine.Should().BeInTheStateOf(before);
        machine.Cpus[0].AllocPages(Gfp.Kernel, 10);
        Assert.Throws<XunitException>(() => machine.Should().BeInTheStateOf(before)).Message.Should().Contain("but differs:\nbuddyinfo: ");
    }
}
