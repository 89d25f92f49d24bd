using FluentAssertions;
using Xunit;

namespace MemSim.Tests.VirtualMemory;

public class ForkTests
{
    public static TheoryData<string> Architectures => ["x86_64", "x86_32", "pae", "arm64"];

    /// <summary>A machine whose processes get small pages unless they ask for huge ones.</summary>
    internal static Machine Boot(string architecture) => Machine.Boot((architecture switch
    {
        "x86_32" => MachineSpec.X86_32("1200M", cpus: 2),
        "pae" => MachineSpec.X86_32Pae("1200M", cpus: 2),
        "arm64" => MachineSpec.Arm64("256M", cpus: 2),
        _ => MachineSpec.X86_64("256M", cpus: 2),
    }).WithCommandLine("transparent_hugepage=madvise"));

    [Theory]
    [MemberData(nameof(Architectures))]
    public void Parent_and_child_see_their_own_writes_only(string architecture)
    {
        using Machine machine = Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        _ = machine.Mm;
        long free = machine.FreePagesAtRest();
        Process parent = machine.CreateProcess("parent");
        VirtualAddress data;
        Process child;
        using (cpu.Run(parent))
        {
            data = parent.Mm.Mmap(64 << 12, Prot.Read | Prot.Write);
            for (int i = 0; i < 64; i++)
            {
                cpu.Write(data + (i << 12), i);
            }

            machine.Verify();
            child = parent.Fork();
            machine.Verify();
            cpu.Write(data, 1000);
            machine.Verify();
        }

        using (cpu.Run(child))
        {
            cpu.Read<int>(data).Should().Be(0);
            cpu.Write(data + (1 << 12), 2000);
            cpu.Write(data, 3000);
        }

        using (cpu.Run(parent))
        {
            cpu.Read<int>(data + (1 << 12)).Should().Be(1);
            cpu.Read<int>(data).Should().Be(1000);
            cpu.Write(data + (2 << 12), 4000);
        }

        machine.Verify();
        child.Exit();
        machine.Verify();
        parent.Mm.AnonPages.Should().Be(64);
        parent.Exit();
        machine.Verify();
        machine.FreePagesAtRest().Should().Be(free);
    }
}
