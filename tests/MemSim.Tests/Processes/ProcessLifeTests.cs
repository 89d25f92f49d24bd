using FluentAssertions;
using MemSim.Faults;
using MemSim.PageCache;
using MemSim.Tests.VirtualMemory;
using Xunit;

namespace MemSim.Tests.Processes;

/// <summary>vfork, exec, spurious faults, and faults in the kernel.</summary>
public class ProcessLifeTests
{
    private const int Page = PageGeometry.PageSize;

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void A_vfork_child_borrows_the_address_space_until_it_executes_a_program(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        Process parent = machine.CreateProcess("parent");
        VirtualAddress data;
        Process child;
        using (cpu.Run(parent))
        {
            data = parent.Mm.Mmap(4 * Page, Prot.Read | Prot.Write);
            cpu.Write(data, 1);
            child = parent.Vfork();
        }

        parent.WaitsForVfork.Should().BeTrue();
        child.Mm.Should().BeSameAs(parent.Mm);
        using (cpu.Run(child))
        {
            cpu.Write(data, 2);
            child.MinorFaults.Should().Be(0, "nothing was write-protected");
            child.Exec("program").Should().Be(Errno.None);
            parent.WaitsForVfork.Should().BeFalse();
            child.Mm.Should().NotBeSameAs(parent.Mm);
            Signal(() => cpu.Read<int>(data)).Code.Should().Be(SignalCode.MapError);
            child.Name.Should().Be("program");
            cpu.Write(child.Mm.StackStart + -64, 5);
        }

        machine.Verify();
        child.Exit(3);
        parent.Wait().Value.Should().BeSameAs(child);
        using (cpu.Run(parent))
        {
            cpu.Read<int>(data).Should().Be(2, "the child wrote into its parent's memory");
        }

        parent.Exit();
        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void A_program_starts_with_nothing_of_the_old_one(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        machine.CreateProcess("warm").Exit();
        long free = machine.FreePagesAtRest();
        Process process = machine.CreateProcess("old");
        using (cpu.Run(process))
        {
            VirtualAddress data = process.Mm.Mmap(256 * Page, Prot.Read | Prot.Write);
            for (int i = 0; i < 256; i++)
            {
                cpu.Write(data + (i * Page), i);
            }

            process.Exec("a name of more than fifteen").Should().Be(Errno.None);
            process.Name.Should().Be("a name of more ");
            process.Mm.AreaCount.Should().Be(1);
            process.Mm.AnonPages.Should().BeLessThan(3);
            machine.Verify();
        }

        process.Exit();
        machine.FreePagesAtRest().Should().Be(free);
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void A_fault_on_an_entry_that_is_good_already_changes_nothing(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("spurious");
        using ContextScope scope = cpu.Run(process);
        VirtualAddress data = process.Mm.Mmap(Page, Prot.Read | Prot.Write);
        cpu.Write(data, 7);
        FaultStory story = new();
        machine.Tracing.RecordFaults(story);
        Vma vma = process.Mm.FindVma(data)!;
        long pages = process.Mm.AnonPages;
        ulong before = process.PageMap(data, 1)[0];
        machine.Mm!.Faults.HandleFault(cpu, vma, data.Value, FaultFlags.Write).Should().Be(FaultResult.None);
        story.Lines.Should().Contain(line => line.Contains("spurious", StringComparison.Ordinal));
        process.PageMap(data, 1)[0].Should().Be(before);
        process.Mm.AnonPages.Should().Be(pages);
        cpu.Read<int>(data).Should().Be(7);
        machine.Verify();
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void A_bad_address_in_the_kernel_is_fixed_up_where_that_was_foreseen_and_an_oops_elsewhere(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        VirtualAddress nowhere = new(0x5000);

        // Without a process there is nobody to send a signal to.
        cpu.Invoking(c => c.Read<int>(nowhere)).Should().Throw<PageFaultException>();
        cpu.User.CopyFromUser(new byte[8], nowhere).Should().Be(8);
        Process process = machine.CreateProcess("caller");
        using ContextScope scope = cpu.Run(process);
        VirtualAddress data = process.Mm.Mmap(2 * Page, Prot.Read | Prot.Write);
        process.Mm.Munmap(data + Page, Page).Should().Be(Errno.None);
        byte[] bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        cpu.User.CopyToUser(data + (Page - 5), bytes).Should().Be(3, "up to the hole");
        byte[] back = [9, 9, 9, 9, 9, 9, 9, 9];
        cpu.User.CopyFromUser(back, data + (Page - 5)).Should().Be(3);
        back.Should().Equal(1, 2, 3, 4, 5, 0, 0, 0);
        process.LastSignal.Should().BeNull("these are errors, not signals");

        // Pages that are missing but allowed are faulted in, on the kernel's behalf.
        VirtualAddress more = process.Mm.Mmap(Page, Prot.Read | Prot.Write);
        cpu.User.PutUser(more, 0x1234).Should().Be(Errno.None);
        cpu.Read<int>(more).Should().Be(0x1234);
        using (cpu.HardIrq())
        {
            // An interrupt must not sleep: whatever process it hit, the copy ends.
            VirtualAddress untouched = data + 64;
            cpu.User.GetUser(untouched, out int _).Should().Be(Errno.None, "the page is there");
        }

        machine.Verify();
    }

    [Fact]
    public void An_arm64_story_goes_from_the_vector_to_the_handler()
    {
        using Machine machine = Machine.Boot(MachineSpec.Arm64("256M"));
        Cpu cpu = machine.Cpus[0];
        FaultStory story = new();
        Process process = machine.CreateProcess("abort");
        using ContextScope scope = cpu.Run(process);
        VirtualAddress data = process.Mm.Mmap(Page, Prot.Read | Prot.Write);
        machine.Tracing.RecordFaults(story);
        cpu.Write(data, 1);
        process.Mm.Mprotect(data, Page, Prot.Read).Should().Be(Errno.None);
        Signal(() => cpu.Write(data, 2)).Code.Should().Be(SignalCode.AccessError);
        Signal(() => cpu.Mmu.Fetch(data)).Code.Should().Be(SignalCode.AccessError);
        Signal(() => cpu.Read<int>(new VirtualAddress(0x40000000))).Code.Should().Be(SignalCode.MapError);
        string text = story.ToString();
        text.Should().Contain("el0_sync: ESR 0x920000").And.Contain("(data abort)").And.Contain("(level 3 permission fault), write at FAR");
        text.Should().Contain("EC 0x20 (instruction abort)").And.Contain("BADACCESS").And.Contain("BADMAP").And.Contain("first write to anonymous memory");
    }

    private static SignalInfo Signal(Action access) => access.Should().Throw<SignalException>().Which.SignalInfo;

    [Fact]
    public void A_process_is_found_by_its_number_while_it_lives()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        Process process = machine.CreateProcess("p");

        machine.Processes.Find(process.Pid).Should().BeSameAs(process);
        machine.Processes.Find(process.Pid + 1).Should().BeNull();
        process.Exit();
        machine.Processes.Find(process.Pid).Should().BeNull();
    }
}
