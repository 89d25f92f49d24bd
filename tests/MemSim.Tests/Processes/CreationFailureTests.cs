using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Processes;

/// <summary>Whatever request for memory fails while a process is made, the answer is ENOMEM and nothing is left behind.</summary>
public sealed class CreationFailureTests : MachineTests
{
    public static TheoryData<Architecture> Architectures { get; } = [Architecture.X86_64, Architecture.X86_32, Architecture.X86_32Pae, Architecture.Arm64];

    [Theory]
    [MemberData(nameof(Architectures))]
    public void Each_inner_failure_of_a_new_process_is_ENOMEM(Architecture architecture)
    {
        Machine machine = Boot(MachineSpec.Preset(architecture, "96M"));
        Process first = machine.Processes.Create("first").Value;
        first.Exit();
        int last = 0, made = 0, refused = 0;

        IReadOnlyList<InjectedFault> faults = machine.FaultInjection.Each(() =>
        {
            Result<Process> victim = machine.Processes.Create("victim");
            if (victim.Succeeded)
            {
                made++;
                last = victim.Value.Pid;
                victim.Value.Exit();
                return;
            }

            victim.Error.Should().Be(Errno.ENOMEM);
            refused++;
        });

        faults.Should().HaveCountGreaterThan(8);
        faults.Should().Contain(f => f.Point == FaultPoints.FailPageAlloc).And.Contain(f => f.Point == FaultPoints.FailSlab && f.Cache == "task_struct");
        refused.Should().BeInRange(faults.Count - 1, faults.Count, "only where many or large pages are asked for at once is there a second way");
        last.Should().Be(first.Pid + made, "failed ones use up no number");
        machine.Processes.Should().BeEmpty();
        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void Each_inner_failure_of_fork_and_exec_is_ENOMEM_and_the_parent_lives_on(Architecture architecture)
    {
        Machine machine = Boot(MachineSpec.Preset(architecture, "96M"));
        Cpu cpu = machine.Cpus[0];
        Process parent = machine.Processes.Create("parent").Value;
        VirtualAddress at = parent.Mm.Mmap(16 << 12, Prot.Read | Prot.Write).Value;
        using (cpu.Run(parent))
        {
            cpu.Write(at, 42);
        }

        IReadOnlyList<InjectedFault> faults = machine.FaultInjection.Each(() =>
        {
            Result<Process> child = parent.Fork();
            if (child.Succeeded)
            {
                child.Value.Exec("program").Should().BeOneOf(Errno.None, Errno.ENOMEM);
                child.Value.Exit();
                parent.Wait().Value.Should().BeSameAs(child.Value);
                return;
            }

            child.Error.Should().Be(Errno.ENOMEM);
        });

        faults.Should().HaveCountGreaterThan(12);
        using (cpu.Run(parent))
        {
            cpu.Read<int>(at).Should().Be(42);
        }

        machine.Processes.Should().ContainSingle();
        machine.Verify();
    }
}
