using FluentAssertions;
using MemSim.Testing.Xunit;
using Xunit;

namespace MemSim.Testing.Tests;

/// <summary>The base class of tests finds what a test leaves behind.</summary>
public class XunitAdapterTests
{
    [Fact]
    public void What_a_test_leaves_behind_fails_it_and_its_machines_are_disposed()
    {
        Sloppy sloppy = new();
        Assert.Throws<MachineAssertionException>(sloppy.Dispose).Message.Should().Contain("to have no leaks").And.Contain("1 blocks of order 2");
        Assert.Throws<ObjectDisposedException>(() => sloppy.Machine.Cpus[0].AllocPages(Gfp.Kernel));
        new Sloppy(mayLeak: true).Dispose();
    }

    [Fact]
    public void What_a_machine_logs_is_in_the_output_of_the_test()
    {
        using Sloppy test = new(mayLeak: true);
        test.Machine.Cpus[0].AllocPages(Gfp.Kernel, 20).IsNull.Should().BeTrue();
        while (!test.Machine.Cpus[0].AllocPages(Gfp.Atomic, 10).IsNull)
        {
        }

        TestContext.Current.TestOutputHelper!.Output.Should().Contain("page allocation failure: order:10");
    }

    [Fact]
    public void A_machine_of_a_test_can_be_forked_and_compared()
    {
        using Sloppy test = new(mayLeak: true);
        MachineSnapshot before = test.Machine.Snapshot();
        using (Machine twin = before.Boot())
        {
            twin.Cpus[0].AllocPages(Gfp.Kernel, 3);
        }

        test.Machine.Should().BeInTheStateOf(before);
    }

    private sealed class Sloppy : MachineTest
    {
        public Sloppy(bool mayLeak = false)
        {
            Machine = Boot(MachineSpec.X86_64("128M"), mayLeak);
            Machine.Cpus[0].AllocPages(Gfp.Kernel, 2);
        }

        public Machine Machine { get; }
    }
}
