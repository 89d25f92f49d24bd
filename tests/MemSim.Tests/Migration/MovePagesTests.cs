using FluentAssertions;
using MemSim.Statistics;
using MemSim.Tests.HugePages;
using Xunit;

namespace MemSim.Tests.Migration;

/// <summary>move_pages, migrate_pages and mbind with moving.</summary>
public class MovePagesTests
{
    [Fact]
    public void Pages_go_to_the_nodes_named_and_keep_their_contents()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("moved");
        VirtualAddress at = HugePageTests.Map(process, 4 << 12);
        using (cpu.Run(process))
        {
            cpu.Write(at, 1);
            cpu.Write(at + 4096, 2);
            _ = cpu.Read<int>(at + 8192);
        }

        VirtualAddress[] pages = [at, at + 4096, at + 8192, at + (3 * 4096), at + (1 << 30)];
        int[] status = new int[5];
        process.QueryPages(pages, status).Should().Be(Errno.None);
        status.Should().Equal(0, 0, -(int)Errno.EFAULT, -(int)Errno.ENOENT, -(int)Errno.EFAULT);
        process.MovePages(cpu, pages.AsSpan(0, 2), [1, 0], status).Should().Be(Errno.None);
        status[..2].Should().Equal(1, 0);
        process.MovePages(cpu, pages.AsSpan(0, 1), [9], status).Should().Be(Errno.ENODEV);
        using (cpu.Run(process))
        {
            cpu.Read<int>(at).Should().Be(1);
            cpu.Read<int>(at + 4096).Should().Be(2);
        }

        Process child = process.Fork();
        process.MovePages(cpu, pages.AsSpan(0, 1), [0], status).Should().Be(Errno.None);
        status[0].Should().Be(-(int)Errno.EACCES);
        process.MovePages(cpu, pages.AsSpan(0, 1), [0], status, moveShared: true).Should().Be(Errno.None);
        status[0].Should().Be(0);
        machine.Verify();
        child.Exit();
        process.Exit();
        machine.Verify();
    }

    [Fact]
    public void A_process_moves_to_another_node_huge_pages_in_one_piece_if_there_is_room()
    {
        using Machine machine = Boot();
        machine.HugePages.Enabled = TransparentHugePages.Always;
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("moved");
        VirtualAddress at = HugePageTests.Map(process, 2 << 20);
        using (cpu.Run(process))
        {
            cpu.Write(at + 8, 5);
            cpu.Write(at + (511 << 12), 6);
        }

        Process child = process.Fork();
        PageTableEntry before = process.Mm.Tables.Lookup(at);
        process.MovePages(cpu, [at], [1], new int[1], moveShared: true).Should().Be(Errno.None);
        PageTableEntry after = process.Mm.Tables.Lookup(at);
        after.Raw.Should().Be(before.Raw + ((ulong)(after.Frame.Value - before.Frame.Value) << 12), "rights, accessed and dirty state move along");
        machine.Events[VmEvent.ThpMigrationSuccess].Should().Be(1);
        process.Mm.Tables.Lookup(at).Level.Should().Be(2);
        process.Mm.Tables.Lookup(at).Frame.Should().Be(child.Mm.Tables.Lookup(at).Frame);
        machine.GetPage(process.Mm.Tables.Lookup(at).Frame).Zone.Node.Id.Should().Be(1);
        (machine.Nodes[0].Counters.AnonHugePages, machine.Nodes[1].Counters.AnonHugePages).Should().Be((0, 512));
        machine.Verify();
        child.Exit();
        machine.Verify();

        // Without a block of that size the parts go one by one.
        List<Page> taken = [];
        while (cpu.AllocPages(Gfp.HighUser | Gfp.ThisNode | Gfp.NoWarn | Gfp.NoRetry, 9) is { IsNull: false } block)
        {
            taken.Add(block);
        }

        process.MigratePages(cpu, [1], [0]).Value.Should().Be(0);
        machine.Events[VmEvent.ThpMigrationSplit].Should().Be(1);
        process.Mm.Tables.Lookup(at).Level.Should().Be(1);
        machine.Verify();
        taken.ForEach(page => cpu.FreePages(page, 9));
        process.MigratePages(cpu, [0], [1]).Value.Should().Be(0);
        int[] status = new int[2];
        process.QueryPages([at, at + (511 << 12)], status);
        status.Should().Equal(1, 1);
        using (cpu.Run(process))
        {
            cpu.Read<int>(at + 8).Should().Be(5);
            cpu.Read<int>(at + (511 << 12)).Should().Be(6);
        }

        machine.Verify();
        process.MbindAndMove(cpu, at, 16 << 12, MemoryPolicy.Bind(0), strict: true).Should().Be(Errno.None);
        process.QueryPages([at, at + (511 << 12)], status);
        status.Should().Equal(0, 1);
        machine.Verify();
        process.Exit();
        machine.Verify();
    }

    [Fact]
    public void What_another_cpu_writes_while_a_huge_page_moves_is_not_lost()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M", cpus: 2).WithNodes("256M", "256M").WithParallelCpus());
        machine.HugePages.Enabled = TransparentHugePages.Always;
        Process process = machine.CreateProcess("moved");
        VirtualAddress at = HugePageTests.Map(process, 2 << 20);
        long wrong = 0;
        bool done = false;
        using (machine.Cpus[0].Run(process))
        {
            machine.Cpus[0].Write(at, 0);
        }

        Thread writer = new(() =>
        {
            Cpu cpu = machine.Cpus[0];
            using ContextScope scope = cpu.Run(process);
            for (int i = 0; !Volatile.Read(ref done); i++)
            {
                VirtualAddress where = at + (i % 512 << 12);
                cpu.Write(where, i);
                Interlocked.Add(ref wrong, cpu.Read<int>(where) == i ? 0 : 1);
            }
        });
        writer.Start();
        for (int move = 1; move <= 60; move++)
        {
            process.MovePages(machine.Cpus[1], [at], [move & 1], new int[1]).Should().Be(Errno.None);
        }

        Volatile.Write(ref done, true);
        writer.Join();
        wrong.Should().Be(0);
        machine.Events[VmEvent.ThpMigrationSuccess].Should().BeGreaterThan(0);
        machine.Verify();
    }

    private static Machine Boot() => Machine.Boot(MachineSpec.X86_64("512M", cpus: 2).WithNodes("256M", "256M"));
}
