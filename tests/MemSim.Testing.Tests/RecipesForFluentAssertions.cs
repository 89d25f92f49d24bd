using FluentAssertions;
using FluentAssertions.Execution;
using MemSim;
using MemSim.Testing;
using MemSim.Testing.FluentAssertions;
using Xunit;

namespace Fluent.Machines.Tests;

public class RecipesForFluentAssertions
{
    [Fact]
    public void Scope()
    {
        // <recipe fluent>
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        using (new AssertionScope())                                        // both are looked at, whatever the first says
        {
            machine.Should().NotBeFragmented(order: 10, because: "the {0} machine was never used", "fresh");
            machine.Should().HaveOomKills(0).And.BeConsistent();
        }

        // </recipe>
    }
}
