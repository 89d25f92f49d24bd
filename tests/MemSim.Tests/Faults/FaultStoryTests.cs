using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Faults;

/// <summary>The code of <c>docs/processes.md</c> and what it prints.</summary>
public class FaultStoryTests
{
    [Fact]
    public void The_story_of_one_copy_on_write()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        Cpu cpu = machine.Cpus[0];
        FaultStory story = new();
        Process parent = machine.CreateProcess("parent");
        using (cpu.Run(parent))
        {
            VirtualAddress data = parent.Mm.Mmap(4096, Prot.Read | Prot.Write);
            cpu.Write(data, 42);
            Process child = parent.Fork();
            machine.Tracing.RecordFaults(story);
            cpu.Write(data, 43);
            using (cpu.Run(child))
            {
                cpu.Read<int>(data).Should().Be(42);
                cpu.Write(data, 44);
            }
        }

        string[] steps = story.ToString().TrimEnd('\n').Split('\n');
        steps.Should().HaveCount(6);
        steps[0].Should().Be("#PF at 00007ffff7ffe000: error code 0x7 (protection, write, user)");
        steps[1].Should().Be("  area 7ffff7ffe000-7ffff7fff000 rw-p");
        steps[2].Should().MatchRegex("^  page 0x[0-9a-f]+ is shared \\(mapped 2 times, 3 references\\): copied to 0x[0-9a-f]+$");
        steps[3].Should().Be(steps[0]);
        steps[5].Should().MatchRegex("^  page 0x[0-9a-f]+ is this process's alone: it becomes writable, nothing is copied$");
        TestContext.Current.SendDiagnosticMessage(story.ToString());
    }

    [Fact]
    public void An_arm64_fault_begins_at_its_vector()
    {
        using Machine machine = Machine.Boot(MachineSpec.Arm64("256M"));
        Cpu cpu = machine.Cpus[0];
        FaultStory story = new();
        machine.Tracing.RecordFaults(story);
        Process process = machine.CreateProcess("reader");
        using ContextScope scope = cpu.Run(process);
        VirtualAddress data = process.Mm.Mmap(4096, Prot.Read);
        _ = cpu.Read<int>(data);
        story.Lines[0].Should().Be("el0_sync: ESR 0x92000004, EC 0x24 (data abort), FSC 0x04 (level 0 translation fault), read at FAR 0000fffff7fff000");
        cpu.User.CopyToUser(data, [1]).Should().Be(1);
        story.Lines.Should().Contain(line => line.StartsWith("el1_sync: ESR 0x9600004f, EC 0x25 (data abort)", StringComparison.Ordinal));
    }
}
