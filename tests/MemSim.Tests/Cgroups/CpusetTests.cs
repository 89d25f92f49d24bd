using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Cgroups;

/// <summary>Which nodes the processes of a cgroup may have memory of.</summary>
public class CpusetTests
{
    private const int Page = PageGeometry.PageSize;

    [Fact]
    public void Memory_of_programs_stays_inside_and_that_of_the_kernel_only_while_there_is_some()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        cpu.Node.Id.Should().Be(0);
        Cgroup pod = machine.Cgroups.Create("/pod");
        pod["cpuset.mems"] = "1";
        pod["cpuset.mems.effective"].Should().Be("1\n");
        Process process = machine.CreateProcess("inside");
        process.Cgroup = pod;
        process.AllowedNodes.Should().Be(2);
        using ContextScope scope = cpu.Run(process);
        VirtualAddress at = process.Mm.Mmap(16 * Page, Prot.Read | Prot.Write);
        for (int i = 0; i < 16; i++)
        {
            cpu.Write(at + (i * Page), i);
            NodeOf(machine, process, at + (i * Page)).Should().Be(1);
        }

        List<Page> taken = [];
        for (Page page = cpu.AllocPages(Gfp.User | Gfp.NoRetry | Gfp.NoWarn, 0); !page.IsNull; page = cpu.AllocPages(Gfp.User | Gfp.NoRetry | Gfp.NoWarn, 0))
        {
            page.Zone.Node.Id.Should().Be(1);
            taken.Add(page);
        }

        Page kernels = cpu.AllocPages(Gfp.Kernel | Gfp.NoRetry, 0);
        kernels.IsNull.Should().BeFalse();
        kernels.Zone.Node.Id.Should().Be(0, "the wall is for programs");
        cpu.FreePages(kernels, 0);
        taken.ForEach(page => cpu.FreePages(page, 0));
    }

    [Fact]
    public void What_a_process_has_elsewhere_moves_with_it_and_with_its_cgroups_file()
    {
        using Machine machine = Boot();
        Cpu cpu = machine.Cpus[0];
        Cgroup above = machine.Cgroups.Create("/above");
        Cgroup below = machine.Cgroups.Create("/above/below");
        Process process = machine.CreateProcess("mover");
        VirtualAddress at = process.Mm.Mmap(8 * Page, Prot.Read | Prot.Write);
        using ContextScope scope = cpu.Run(process);
        for (int i = 0; i < 8; i++)
        {
            cpu.Write(at + (i * Page), i + 1);
        }

        NodeOf(machine, process, at).Should().Be(0);
        above["cpuset.mems"] = "1";
        below["cpuset.mems.effective"].Should().Be("1\n");
        process.Cgroup = below;
        NodeOf(machine, process, at + (7 * Page)).Should().Be(1);
        cpu.Read<int>(at + (7 * Page)).Should().Be(8);
        above["cpuset.mems"] = "0";
        NodeOf(machine, process, at).Should().Be(0);
        below.Write("cpuset.mems", "1").Should().Be(Errno.None);
        below["cpuset.mems.effective"].Should().Be("0\n", "what the cgroup above does not have cannot be given");
        Process child = process.Fork();
        child.AllowedNodes.Should().Be(1);
        above["cpuset.mems"] = "";
        process.AllowedNodes.Should().Be(2, "its own counts now");
        below.Write("cpuset.mems", "0-").Should().Be(Errno.EINVAL);
        below.Write("cpuset.mems", "5").Should().Be(Errno.EINVAL);
        child.Exit();
        machine.Verify();
    }

    [Fact]
    public void Reports_name_the_cpuset_and_the_nodes_it_leaves()
    {
        using Machine machine = Boot();
        Cgroup pod = machine.Cgroups.Create("/pod");
        pod["cpuset.mems"] = "1";
        Process process = machine.CreateProcess("hog");
        process.Cgroup = machine.Cgroups.Create("/pod/web");
        VirtualAddress at = process.Mm.Mmap(200 << 20, Prot.Read | Prot.Write);
        using (machine.Cpus[0].Run(process))
        {
            machine.Cpus[0].Invoking(cpu =>
            {
                for (long i = 0; i < 200 << 20; i += Page)
                {
                    cpu.Write(at + (ulong)i, i);
                }
            }).Should().Throw<SignalException>();
        }

        machine.Oom.LastReport.Should().Contain("constraint=CONSTRAINT_CPUSET,nodemask=(null),cpuset=pod,mems_allowed=1,global_oom,task_memcg=/pod/web,");
    }

    private static int NodeOf(Machine machine, Process process, VirtualAddress at) =>
        machine.GetPage(new Pfn((long)(process.PageMap(at, 1)[0] & 0x7f_ffff_ffff_ffff))).Zone.Node.Id;

    private static Machine Boot() => Machine.Boot(MachineSpec.X86_64("256M", cpus: 4).WithNodes("128M", "128M"));
}
