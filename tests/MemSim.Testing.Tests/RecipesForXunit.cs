using MemSim.Testing.Xunit;
using Xunit;

namespace MemSim.Testing.Tests;

// <recipe xunit>
public class DriverTests : MachineTest
{
    [Fact]
    public void The_ring_is_given_back()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));             // verified, checked for leaks and disposed after the test
        Cpu cpu = machine.Cpus[0];
        Page ring = cpu.AllocPages(Gfp.Kernel, order: 2);
        cpu.FreePages(ring, order: 2);
    }
}

// </recipe>
