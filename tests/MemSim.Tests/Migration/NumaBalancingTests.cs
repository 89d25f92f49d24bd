using FluentAssertions;
using MemSim.Kernels;
using MemSim.Statistics;
using Xunit;

namespace MemSim.Tests.Migration;

/// <summary>Automatic balancing between nodes: pages go to the CPUs that use them.</summary>
public class NumaBalancingTests : MachineTests
{
    private const int Page = 4096;

    [Fact]
    public void It_is_on_where_there_are_several_nodes_and_the_kernel_can()
    {
        using Machine one = Machine.Boot(MachineSpec.X86_64("256M"));
        one.Migration.Balancing.Mode.Should().Be(NumaBalancingModes.Off);
        using Machine two = Machine.Boot(TwoNodes());
        two.Migration.Balancing.Mode.Should().Be(NumaBalancingModes.Normal);
        two.Sysctl.Get("kernel.numa_balancing").Should().Be("1");
        two.Sysctl.Set("kernel.numa_balancing", "0");
        two.Migration.Balancing.Mode.Should().Be(NumaBalancingModes.Off);
        two.Invoking(m => m.Sysctl.Set("kernel.numa_balancing", "4")).Should().Throw<ArgumentException>();
        two.Sysctl.Set("kernel.numa_balancing_promote_rate_limit_MBps", "10");
        two.Sysctl.Get("kernel.numa_balancing_promote_rate_limit_MBps").Should().Be("10");
        using Machine off = Machine.Boot(TwoNodes().WithCommandLine("numa_balancing=disable"));
        off.Migration.Balancing.Mode.Should().Be(NumaBalancingModes.Off);
        using Machine old = Machine.Boot(TwoNodes().WithPersonality(KernelLines.Linux2_6));
        old.Migration.Balancing.IsAvailable.Should().BeFalse();
        old.Migration.Balancing.Invoking(b => b.Mode = NumaBalancingModes.Normal).Should().Throw<InvalidOperationException>();
    }

    [Fact]
    public void Pages_follow_a_process_to_its_new_node_with_their_contents()
    {
        using Machine machine = Machine.Boot(TwoNodes());
        machine.HugePages.Enabled = TransparentHugePages.Never;
        Process process = machine.CreateProcess("moves");
        VirtualAddress at = process.Mm.Mmap(100 * Page, Prot.Read | Prot.Write);
        Write(machine.Cpus[0], process, at, 100);
        NodesOf(process, at, 100).Should().AllBeEquivalentTo(0);
        machine.Lru.DrainAll(machine.Cpus[0]);

        // On the other node's CPU: after a second of its time it is scanned, and what it uses comes over.
        using (machine.Cpus[1].Run(process))
        {
            machine.AdvanceTime(TimeSpan.FromSeconds(3));
            long marked = machine.Events[VmEvent.NumaPteUpdates];
            marked.Should().Be(process.Mm.AnonPages);
            process.Mm.Tables.Lookup(at).IsPresent.Should().BeFalse("the hardware may not use it unnoticed");
            for (int i = 0; i < 40; i++)
            {
                machine.Cpus[1].Read<int>(at + (i * Page)).Should().Be(i);
            }
        }

        NodesOf(process, at, 100).Should().Equal(Enumerable.Repeat(1, 40).Concat(Enumerable.Repeat(0, 60)));
        machine.Events[VmEvent.NumaHintFaults].Should().Be(40);
        machine.Events[VmEvent.NumaHintFaultsLocal].Should().Be(0);
        machine.Events[VmEvent.NumaPagesMigrated].Should().Be(40);
        machine.Events[VmEvent.MigrateSuccess].Should().Be(40);
        machine.Proc.VmStat.Should().Contain("numa_hint_faults 40\n").And.Contain("numa_pages_migrated 40\n");
        machine.Verify();
        using (machine.Cpus[1].Run(process))
        {
            for (int i = 0; i < 100; i++)
            {
                machine.Cpus[1].Write(at + (i * Page), i + 7);
                machine.Cpus[1].Read<int>(at + (i * Page)).Should().Be(i + 7);
            }
        }

        process.Exit();
        machine.Verify();
    }

    [Fact]
    public void A_page_that_another_node_used_last_needs_two_uses_from_here()
    {
        using Machine machine = Machine.Boot(TwoNodes());
        machine.HugePages.Enabled = TransparentHugePages.Never;
        NumaBalancing balancing = machine.Migration.Balancing;
        TmpFileSystem files = machine.Files.MountTmpfs();
        OpenFile file = files.Create("shared");
        machine.Cpus[0].Files.Truncate(file, 8 * Page).Should().Be(Errno.None);
        Process first = machine.CreateProcess("first");
        Process second = machine.CreateProcess("second");
        VirtualAddress a = first.Mm.Mmap(default, 8 * Page, Prot.Read | Prot.Write, MapFlags.Shared, file);
        VirtualAddress b = second.Mm.Mmap(default, 8 * Page, Prot.Read | Prot.Write, MapFlags.Shared, file);
        Write(machine.Cpus[0], first, a, 8);
        machine.Lru.DrainAll(machine.Cpus[0]);

        void Use(Cpu cpu, Process process, VirtualAddress at)
        {
            using (cpu.Run(process))
            {
                _ = cpu.Read<int>(at);
                _ = balancing.Scan(cpu, process);
                cpu.Read<int>(at).Should().Be(0);
                cpu.Read<int>(at + Page).Should().Be(1);
            }
        }

        Use(machine.Cpus[0], first, a);
        machine.Events[VmEvent.NumaHintFaultsLocal].Should().Be(2);
        Use(machine.Cpus[1], second, b);
        NodesOf(second, b, 1).Should().Equal([0], "the one who used it before was on node 0");
        Use(machine.Cpus[1], second, b);
        NodesOf(second, b, 1).Should().Equal([1], "two in a row from node 1");
        machine.Verify();
    }

    [Fact]
    public void What_a_policy_has_placed_is_left_alone()
    {
        using Machine machine = Machine.Boot(TwoNodes());
        Process process = machine.CreateProcess("bound");
        VirtualAddress at = process.Mm.Mmap(16 * Page, Prot.Read | Prot.Write);
        process.Mm.Mbind(at, 16 * Page, MemoryPolicy.Bind(0)).Should().Be(Errno.None);
        Write(machine.Cpus[0], process, at, 16);
        using (machine.Cpus[1].Run(process))
        {
            machine.AdvanceTime(TimeSpan.FromSeconds(5));
            machine.Cpus[1].Read<int>(at).Should().Be(0);
        }

        NodesOf(process, at, 16).Should().AllBeEquivalentTo(0);
        machine.Events[VmEvent.NumaHintFaults].Should().Be(0);
    }

    [Fact]
    public void A_huge_page_moves_in_one_piece_for_one_use()
    {
        using Machine machine = Machine.Boot(TwoNodes());
        machine.HugePages.Enabled = TransparentHugePages.Always;
        Process process = machine.CreateProcess("huge");
        VirtualAddress at = HugePageTests_Map(process);
        using (machine.Cpus[0].Run(process))
        {
            machine.Cpus[0].Write(at + (17 * Page), 17);
        }

        machine.Lru.DrainAll(machine.Cpus[0]);
        using (machine.Cpus[1].Run(process))
        {
            machine.Migration.Balancing.Scan(machine.Cpus[1], process).Should().BeGreaterThanOrEqualTo(512);
            machine.Events[VmEvent.NumaHugePteUpdates].Should().Be(1);
            machine.Verify();
            machine.Cpus[1].Read<int>(at + (17 * Page)).Should().Be(17);
        }

        machine.GetPage(process.Mm.Tables.Lookup(at).Frame).Zone.Node.Id.Should().Be(1);
        process.Mm.Tables.Lookup(at).Level.Should().Be(2);
        machine.Events[VmEvent.NumaPagesMigrated].Should().Be(512);
        machine.Verify();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Any_sequence_of_scans_uses_and_calls_keeps_every_byte(int seed)
    {
        using Machine machine = Machine.Boot(TwoNodes());
        Random random = new(seed);
        const int Size = 600;
        List<(Process Process, VirtualAddress At, int[] Model)> tasks = [];
        for (int i = 0; i < 3; i++)
        {
            Process process = machine.CreateProcess($"p{i}");
            tasks.Add((process, process.Mm.Mmap(Size * Page, Prot.Read | Prot.Write), new int[Size]));
        }

        long hints = 0;
        for (int step = 0; step < 3000; step++)
        {
            (Process process, VirtualAddress at, int[] model) = tasks[random.Next(tasks.Count)];
            Cpu cpu = machine.Cpus[random.Next(2)];
            int page = random.Next(Size);
            using (cpu.Run(process))
            {
                switch (random.Next(20))
                {
                    case 0:
                        _ = machine.Migration.Balancing.Scan(cpu, process);
                        break;
                    case 1:
                        machine.AdvanceTime(TimeSpan.FromMilliseconds(random.Next(1500)));
                        break;
                    case 2:
                        process.Mm.Mprotect(at + (page * Page), Page, Prot.Read).Should().Be(Errno.None);
                        process.Mm.Mprotect(at, Size * Page, Prot.Read | Prot.Write).Should().Be(Errno.None);
                        break;
                    case 3:
                        process.Mm.Madvise(at + (page * Page), Page, MemoryAdvice.DontNeed).Should().Be(Errno.None);
                        model[page] = 0;
                        break;
                    case 4 when tasks.Count < 6:
                        tasks.Add((process.Fork(cpu), at, [.. model]));
                        break;
                    case 5 when tasks.Count > 2:
                        tasks.RemoveAt(tasks.FindIndex(task => ReferenceEquals(task.Process, process)));
                        process.Exit();
                        break;
                    case < 12:
                        cpu.Read<int>(at + (page * Page)).Should().Be(model[page], "seed {0}, step {1}", seed, step);
                        break;
                    default:
                        model[page] = step;
                        cpu.Write(at + (page * Page), step);
                        break;
                }
            }

            if (step % 300 == 0)
            {
                machine.Verify();
                hints = machine.Events[VmEvent.NumaHintFaults];
            }
        }

        hints.Should().BePositive();
        machine.Events[VmEvent.NumaPagesMigrated].Should().BePositive();
        machine.Verify();
        foreach ((Process process, _, _) in tasks)
        {
            process.Exit();
        }

        machine.Verify();
    }

    private static VirtualAddress HugePageTests_Map(Process process) => HugePages.HugePageTests.Map(process, 2 << 20);

    private static void Write(Cpu cpu, Process process, VirtualAddress at, int pages)
    {
        using (cpu.Run(process))
        {
            for (int i = 0; i < pages; i++)
            {
                cpu.Write(at + (i * Page), i);
            }
        }
    }

    private static int[] NodesOf(Process process, VirtualAddress at, int pages)
    {
        int[] status = new int[pages];
        process.QueryPages([.. Enumerable.Range(0, pages).Select(i => at + (i * Page))], status).Should().Be(Errno.None);
        return status;
    }

    private static MachineSpec TwoNodes() => MachineSpec.X86_64("256M", cpus: 2).WithNodes(NumaTopology.Of(
        new NumaNode(0, 0, ByteSize.FromMiB(128), 0), new NumaNode(1, 128UL << 20, ByteSize.FromMiB(128), 1)));
}
