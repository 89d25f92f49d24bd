using FluentAssertions;
using MemSim.Observability;
using Xunit;

namespace MemSim.Tests.Machines;

/// <summary>Calls and figures that are asked for rarely: what each of them answers.</summary>
public sealed class LessKnownCallsTests
{
    private const long MiB = 1 << 20;

    [Fact]
    public void Vmalloc_takes_pages_of_the_node_asked_for()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("2G", cpus: 2).WithNodes([ByteSize.FromGiB(1), ByteSize.FromGiB(1)]));
        Cpu cpu = machine.Cpus[0];

        VirtualAddress there = cpu.Vm.VmallocNode(64 << 10, machine.Nodes[1].Id);

        for (int page = 0; page < 16; page++)
        {
            cpu.Vm.VmallocToPage(there + (page * 4096)).Zone.Node.Id.Should().Be(1);
        }

        cpu.Vfree(there);
        cpu.Invoking(c => c.Vm.VmallocNode(4096, 7)).Should().Throw<ArgumentException>();
    }

    [Fact]
    public void Vmalloc_32_stays_below_4_GiB()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("8G"));
        Cpu cpu = machine.Cpus[0];
        VirtualAddress anywhere = cpu.Vmalloc(4096);
        cpu.Vm.VmallocToPage(anywhere).PhysicalAddress.Value.Should().BeGreaterThanOrEqualTo(1UL << 32, "pages come from the highest zone first");

        VirtualAddress low = cpu.Vm.Vmalloc32(4096);

        cpu.Vm.VmallocToPage(low).PhysicalAddress.Value.Should().BeLessThan(1UL << 32);
    }

    [Fact]
    public void A_secret_is_overwritten_before_its_object_is_free()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        Cpu cpu = machine.Cpus[0];
        VirtualAddress key = cpu.Kmalloc(64, Gfp.Kernel);
        cpu.Write(key, 0x1234_5678_9abc_def0UL);
        VirtualAddress copy = cpu.Slab.Kmemdup(key, 64, Gfp.Kernel);
        cpu.Read<ulong>(copy).Should().Be(0x1234_5678_9abc_def0UL);

        cpu.Slab.KfreeSensitive(key);
        cpu.Kfree(copy);

        cpu.Read<ulong>(key).Should().Be(0, "nothing is left of it in memory");
        cpu.Read<ulong>(copy).Should().NotBe(0, "kfree() alone leaves what was there");
    }

    [Fact]
    public void What_the_boot_decided_about_memory()
    {
        using Machine small = Machine.Boot(MachineSpec.X86_64("128M"));
        using Machine usual = Machine.Boot(MachineSpec.X86_64("256M").WithCommandLine("init_on_alloc=1 init_on_free=1"));

        (usual.Memory.ZeroesOnAlloc, usual.Memory.ZeroesOnFree).Should().Be((true, true));
        (small.Memory.ZeroesOnAlloc, small.Memory.ZeroesOnFree).Should().Be((false, false), "unless the command line asks for it");
        usual.Memory.MobilityGrouping.Should().BeTrue();
        usual.Memory.Model.Should().Be(MemoryModel.SparseVmemmap);
    }

    [Fact]
    public void Limits_of_a_cgroup_in_bytes_are_its_files()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("1G"));
        Cgroup cgroup = machine.Cgroups.Create("box");
        cgroup.HighBytes.Should().Be(long.MaxValue);

        (cgroup.MinBytes, cgroup.LowBytes, cgroup.HighBytes, cgroup.SwapMaxBytes) = (4 * MiB, 8 * MiB, 64 * MiB, 16 * MiB);

        cgroup["memory.min"].Should().Be("4194304\n");
        cgroup["memory.low"].Should().Be("8388608\n");
        cgroup["memory.high"].Should().Be("67108864\n");
        cgroup["memory.swap.max"].Should().Be("16777216\n");
    }

    [Fact]
    public void A_parent_knows_its_children_and_how_they_ended()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        Cpu cpu = machine.Cpus[0];
        Process parent = machine.CreateProcess("sh");
        Process child = parent.Fork(cpu).Value;
        parent.Children.Should().Equal(child);

        new ExitStatus(3, Signal.None).WaitStatus.Should().Be(0x300, "the code lies above the signal");
        new ExitStatus(0, Signal.SIGKILL).WaitStatus.Should().Be(9);
    }

    [Fact]
    public void A_running_process_has_its_page_tables_loaded()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("sh");
        VirtualAddress data = process.Mm.Mmap(4 * 4096, Prot.Read | Prot.Write);
        PageTables idle = cpu.Mmu.PageTables;

        using (cpu.Run(process))
        {
            cpu.Mmu.PageTables.Should().BeSameAs(process.Mm.Tables).And.NotBeSameAs(idle);
            cpu.Write(data, 1);
            cpu.Tlb.Entries.Should().Contain(entry => entry.Address == data);
            cpu.Tlb.FlushAddressSpace();
            cpu.Tlb.Entries.Should().NotContain(entry => entry.Address == data);
        }

        process.Mm.Areas.Should().Contain(area => area.Start == data && area.PageOffset == (long)(data.Value >> 12), "without a file it is a linear page number");
    }

    [Fact]
    public void A_cache_tells_its_attributes_and_how_full_it_is()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        KmemCache cache = machine.Slab.CreateCache("thing", 512);
        VirtualAddress thing = machine.Cpus[0].Alloc(cache, Gfp.Kernel);

        SlabAllocator.SysfsAttributes.Should().Contain("object_size").And.OnlyContain(name => machine.Slab.SysfsAttribute(cache, name) != null);
        machine.Slab.UsageOf(cache).Utilisation.Should().BeApproximately(512.0 / machine.Slab.UsageOf(cache).SlabBytes, 1e-9);
        machine.Cpus[0].Free(cache, thing);
    }

    [Fact]
    public void Areas_that_are_not_given_back_are_named()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        AllocationMark mark = machine.Leaks.Mark();

        VirtualAddress area = machine.Cpus[0].Vmalloc(8192);

        machine.Leaks.FindLiveAreas(mark).Should().ContainSingle().Which.Address.Should().Be(area);
    }

    [Fact]
    public void A_deleted_file_lives_until_it_is_closed()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        Cpu cpu = machine.Cpus[0];
        SimFileSystem tmp = machine.Files.MountTmpfs("16M");
        SimFile file = tmp.Create("log").Value.File;
        file.IsDeleted.Should().BeFalse();

        tmp.Delete(cpu, "log");

        file.IsDeleted.Should().BeTrue();
    }
}
