using FluentAssertions;
using MemSim.Damage;
using MemSim.Observability;
using MemSim.Tests.Hardware.Mmu;
using Xunit;

namespace MemSim.Tests.VirtualMemory;

/// <summary>Page tables lie in simulated memory: what happens when somebody writes to them.</summary>
public sealed class OverwrittenTablesTests
{
    private const Prot Both = Prot.Read | Prot.Write;

    public static TheoryData<Architecture> Architectures { get; } = [Architecture.X86_64, Architecture.X86_32, Architecture.X86_32Pae, Architecture.Arm64];

    [Theory]
    [MemberData(nameof(Architectures))]
    public void A_page_beyond_the_machine_is_reported_and_left_alone_when_its_area_goes(Architecture architecture)
    {
        using Machine machine = MmuMachines.Boot(architecture);
        Process process = WithPages(machine, out VirtualAddress buffer);
        ulong slot = process.Mm.Tables.FindSlot(buffer.Value);
        int pfn = machine.Mm!.Layout.Pfn(process.Mm.Tables.ReadSlot(slot));
        Point(process, slot, (int)machine.Frames.Count + 5);
        process.Mm.Munmap(buffer, 8 << 12).Should().Be(Errno.None);
        machine.Bugs.DamageFound.Should().Be(1);
        machine.Frames.Array[pfn].RefCount.Should().BeGreaterThan(0, "nothing maps it any more, but nobody has given it back");
        process.Exit();
        new StateVerifier(machine).Verify();
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void Verify_names_an_entry_that_leads_out_of_the_machine(Architecture architecture)
    {
        using Machine machine = MmuMachines.Boot(architecture);
        Process process = WithPages(machine, out VirtualAddress buffer);
        Point(process, process.Mm.Tables.FindSlot(buffer.Value + 4096), (int)machine.Frames.Count + 5);
        FluentActions.Invoking(machine.Verify).Should().Throw<KernelBugException>().WithMessage($"*at {buffer.Value + 4096:x}*which the machine does not have*");
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void References_of_a_page_that_belongs_to_somebody_else_are_not_taken_or_dropped(Architecture architecture)
    {
        using Machine machine = MmuMachines.Boot(architecture);
        Process process = WithPages(machine, out VirtualAddress buffer);
        Page foreign = machine.Cpus[0].AllocPage(Gfp.Kernel);
        Point(process, process.Mm.Tables.FindSlot(buffer.Value), foreign.FrameIndex);
        Process child = process.Fork();
        foreign.Count.Should().Be(1);
        child.Exit();
        process.Exit();
        foreign.Count.Should().Be(1);
        foreign.MapCount.Should().Be(0);
        machine.Cpus[0].FreePages(foreign, 0);
        new StateVerifier(machine).Verify();
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void A_table_of_another_process_is_not_freed_with_the_one_whose_entry_leads_to_it(Architecture architecture)
    {
        using Machine machine = MmuMachines.Boot(architecture);
        Process thief = WithPages(machine, out VirtualAddress buffer);
        Process owner = WithPages(machine, out VirtualAddress same);
        same.Should().Be(buffer);
        thief.Mm.Tables.OverwriteSlot(thief.Mm.Tables.FindPmd(buffer.Value), owner.Mm.Tables.ReadSlot(owner.Mm.Tables.FindPmd(buffer.Value)));
        thief.Exit();
        machine.Bugs.DamageFound.Should().BeGreaterThan(0);
        machine.Mmu.Frames.Owns((long)(owner.Mm.Tables.FindSlot(buffer.Value) >> 12), (owner.Mm.Tables.Number << 3) | 1).Should().BeTrue();
        using (machine.Cpus[0].Run(owner))
        {
            machine.Cpus[0].Write(buffer, 1);
        }

        owner.Exit();
        new StateVerifier(machine).Verify();
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void Memory_of_the_boot_is_no_table_of_a_process_and_is_not_freed_as_one(Architecture architecture)
    {
        using Machine machine = MmuMachines.Boot(architecture);
        Process process = WithPages(machine, out VirtualAddress buffer);
        PageTables tables = process.Mm.Tables;
        ulong pmd = tables.FindPmd(buffer.Value);
        int reserved = (int)machine.Frames.ReservedRanges.MaxBy(range => range.End - range.Start).End - 1;
        machine.Mmu.Frames.Owns(reserved, (tables.Number << 3) | 1).Should().BeFalse();
        machine.Mmu.Frames.Owns(machine.Cpus[0].AllocPage(Gfp.Kernel).FrameIndex, 1).Should().BeFalse("nor is any page a table of the kernel");
        tables.OverwriteSlot(pmd, machine.Mm!.Layout.WithPfn(tables.ReadSlot(pmd), reserved));
        machine.Mmu.FlushAddressSpace(machine.Cpus[0], tables);

        process.Exit();

        machine.Bugs.DamageFound.Should().BeGreaterThan(0);
        machine.Frames.IsReserved(reserved).Should().BeTrue();
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void A_swap_entry_that_names_nothing_is_SIGBUS_and_goes_with_its_area(Architecture architecture)
    {
        using Machine machine = MmuMachines.Boot(architecture);
        Process process = WithPages(machine, out VirtualAddress buffer);
        process.Mm.Tables.OverwriteSlot(process.Mm.Tables.FindSlot(buffer.Value), machine.Mm!.Layout.MakeSwapEntry(7, 1234));
        machine.Mmu.FlushRange(machine.Cpus[0], process.Mm.Tables, buffer, 4096);
        using (machine.Cpus[0].Run(process))
        {
            FluentActions.Invoking(() => machine.Cpus[0].Read<int>(buffer)).Should().Throw<SignalException>().Which.SignalInfo.Signal.Should().Be(Signal.SIGBUS);
        }

        process.Mm.Munmap(buffer, 8 << 12).Should().Be(Errno.None);
        machine.Bugs.DamageFound.Should().Be(2);
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void A_directory_entry_that_leads_nowhere_is_emptied_by_the_next_fault(Architecture architecture)
    {
        using Machine machine = MmuMachines.Boot(architecture);
        Process process = WithPages(machine, out VirtualAddress buffer);
        PageTables tables = process.Mm.Tables;
        ulong pmd = tables.FindPmd(buffer.Value);
        tables.OverwriteSlot(pmd, (tables.ReadSlot(pmd) & 0xfff) | (machine.Ram.Bytes + (64UL << 20)));
        machine.Mmu.FlushAddressSpace(machine.Cpus[0], tables);
        process.Mm.Madvise(buffer, 4096, MemoryAdvice.PopulateWrite).Should().Be(Errno.None);
        machine.Bugs.DamageFound.Should().Be(1);
        tables.FindSlot(buffer.Value).Should().NotBe(0);
    }

    [Theory]
    [InlineData(Architecture.X86_64)]
    [InlineData(Architecture.X86_32Pae)]
    [InlineData(Architecture.Arm64)]
    public void Other_rights_leave_alone_which_frame_an_overwritten_entry_names(Architecture architecture)
    {
        const ulong address = 0x0000_9234_5678_9000;
        using Machine machine = MmuMachines.Boot(architecture);
        Process process = WithPages(machine, out VirtualAddress buffer);
        ulong slot = process.Mm.Tables.FindSlot(buffer.Value);
        process.Mm.Tables.OverwriteSlot(slot, (process.Mm.Tables.ReadSlot(slot) & 0xfff) | address);
        process.Mm.Mprotect(buffer, 4096, Prot.Read).Should().Be(Errno.None);
        (process.Mm.Tables.ReadSlot(slot) & 0x0000_ffff_ffff_f000).Should().Be(address);
        process.Mm.Mprotect(buffer, 4096, Prot.None).Should().Be(Errno.None);
        process.Mm.Mprotect(buffer, 4096, Both).Should().Be(Errno.None);
        (process.Mm.Tables.ReadSlot(slot) & 0x0000_ffff_ffff_f000).Should().Be(address);
    }

    [Theory]
    [MemberData(nameof(Architectures))]
    public void Whatever_is_written_to_page_tables_only_the_kernel_answers(Architecture architecture)
    {
        DamageTally tally = new();
        for (ulong seed = 1; seed <= 6; seed++)
        {
            OverwrittenMemory.Run(architecture, seed, 150, tally).Should().BeNull($"seed {seed}");
        }

        tally.Reported.Should().BeGreaterThan(100);
        tally.Named.Should().BeGreaterThan(3);
    }

    private static Process WithPages(Machine machine, out VirtualAddress buffer)
    {
        Process process = machine.CreateProcess("victim");
        buffer = process.Mm.Mmap(8 << 12, Both);
        using ContextScope run = machine.Cpus[0].Run(process);
        for (int i = 0; i < 8; i++)
        {
            machine.Cpus[0].Write(buffer + (i << 12), i);
        }

        return process;
    }

    private static void Point(Process process, ulong slot, int pfn)
    {
        PageTables tables = process.Mm.Tables;
        tables.OverwriteSlot(slot, process.Mm.Machine.Mm!.Layout.WithPfn(tables.ReadSlot(slot), pfn));
        process.Mm.Machine.Mmu.FlushAddressSpace(process.Mm.Machine.Cpus[0], tables);
    }
}
