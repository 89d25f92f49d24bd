using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Faults;

/// <summary>On which node the pages of a process lie.</summary>
public class NumaFaultTests
{
    private const int Page = PageGeometry.PageSize;

    [Fact]
    public void The_node_of_the_first_touch_keeps_the_page()
    {
        using Machine machine = Boot();
        Process process = machine.CreateProcess("touch");
        VirtualAddress at = process.Mm.Mmap(8 * Page, Prot.Read | Prot.Write);
        for (int i = 0; i < 8; i++)
        {
            Cpu cpu = machine.Cpus[i % 4];
            using ContextScope scope = cpu.Run(process);
            cpu.Write(at + (i * Page), i);
            NodeOf(machine, process, at + (i * Page)).Should().Be(cpu.Node.Id);
        }

        machine.Cpus[0].Node.Id.Should().NotBe(machine.Cpus[3].Node.Id);
        using ContextScope last = machine.Cpus[3].Run(process);
        machine.Cpus[3].Write(at, 100);
        NodeOf(machine, process, at).Should().Be(machine.Cpus[0].Node.Id);
    }

    [Fact]
    public void A_bound_area_fills_its_node_and_no_other()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("bound");
        using ContextScope scope = cpu.Run(process);
        VirtualAddress at = process.Mm.Mmap(64 * Page, Prot.Read | Prot.Write);
        process.Mm.Mbind(at + (16 * Page), 16 * Page, MemoryPolicy.Bind(1)).Should().Be(Errno.None);
        process.Mm.AreaCount.Should().Be(4, "the stack, and the area cut in three");
        for (int i = 0; i < 64; i++)
        {
            cpu.Write(at + (i * Page), i);
            NodeOf(machine, process, at + (i * Page)).Should().Be(i is >= 16 and < 32 ? 1 : 0);
        }

        machine.Verify();
    }

    [Fact]
    public void A_preferred_node_is_left_when_it_is_full()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("prefers");
        using ContextScope scope = cpu.Run(process);
        const int pages = 40000;
        VirtualAddress at = process.Mm.Mmap((long)pages * Page, Prot.Read | Prot.Write);
        process.Mm.Mbind(at, (long)((ulong)pages * Page), MemoryPolicy.Preferred(1)).Should().Be(Errno.None);
        int[] count = new int[2];
        for (int i = 0; i < pages; i++)
        {
            cpu.Write(at + ((long)i * Page), i);
            count[NodeOf(machine, process, at + ((long)i * Page))]++;
        }

        count[1].Should().BeGreaterThan(25000);
        count[0].Should().BeGreaterThan(5000);
        NodeOf(machine, process, at).Should().Be(1);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Interleaving_goes_by_the_offset_not_by_the_order_of_faults(bool ofTask)
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("spread");
        MemoryPolicy policy = MemoryPolicy.Interleave(0, 1);
        using ContextScope scope = cpu.Run(process);
        VirtualAddress at = process.Mm.Mmap(64 * Page, Prot.Read | Prot.Write);
        if (ofTask)
        {
            process.Policy = policy;
        }
        else
        {
            process.Mm.Mbind(at, 64 * Page, policy).Should().Be(Errno.None);
        }

        long before = machine.Cpus[0].NumaInterleaved();
        int[] order = [.. Enumerable.Range(0, 64)];
        new Random(5).Shuffle(order);
        foreach (int i in order)
        {
            cpu.Write(at + (i * Page), i);
        }

        long first = (long)(at.Value >> PageGeometry.PageShift);
        for (int i = 0; i < 64; i++)
        {
            NodeOf(machine, process, at + (i * Page)).Should().Be((int)((first + i) & 1), "page {0}", i);
        }

        (machine.Cpus[0].NumaInterleaved() - before).Should().Be(ofTask ? 68 : 64, "three page tables and the first slab of anon_vma follow the task's policy");
    }

    [Fact]
    public void A_child_inherits_the_policy_and_a_copy_on_write_follows_it()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("parent");
        VirtualAddress at;
        Process child;
        using (cpu.Run(process))
        {
            at = process.Mm.Mmap(Page, Prot.Read | Prot.Write);
            cpu.Write(at, 1);
            process.Policy = MemoryPolicy.Bind(1);
            child = process.Fork();
        }

        NodeOf(machine, process, at).Should().Be(0);
        using ContextScope scope = cpu.Run(child);
        cpu.Write(at, 2);
        NodeOf(machine, child, at).Should().Be(1);
    }

    private static Machine Boot() => Machine.Boot(MachineSpec.X86_64("256M", cpus: 4).WithNodes("128M", "128M"));

    private static int NodeOf(Machine machine, Process process, VirtualAddress at) =>
        machine.GetPage(new Pfn((int)(process.PageMap(at, 1)[0] & uint.MaxValue))).Zone.Node.Id;
}

internal static class InterleavedPages
{
    public static long NumaInterleaved(this Cpu cpu) => cpu.Lists.Pcp.Sum(pcp => pcp.NumaInterleave);
}
