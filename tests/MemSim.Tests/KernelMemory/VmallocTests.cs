using FluentAssertions;
using Xunit;

namespace MemSim.Tests.KernelMemory;

public class VmallocTests
{
    [Fact]
    public void Vmalloc_memory_is_contiguous_in_addresses_and_readable_across_pages()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        Cpu cpu = machine.Cpus[0];

        VirtualAddress area = cpu.Vm.Vzalloc(10_000);

        area.Should().Be(machine.FirstFree());
        cpu.Write(area + 4092, 0x1122_3344_5566_7788L);
        cpu.Read<long>(area + 4092).Should().Be(0x1122_3344_5566_7788L);
        cpu.Read<int>(area + 9996).Should().Be(0);
        cpu.Vm.VmallocToPage(area + 8192).IsNull.Should().BeFalse();
        cpu.Vm.VmallocToPage(area + 12288).IsNull.Should().BeTrue("the guard page maps nothing");
        machine.AreasOfUsers().Should().Be("0xffffc90000005000-0xffffc90000009000   16384 Vmalloc_memory_is_contiguous_in_addresses_and_readable_across_pages pages=3 vmalloc N0=3\n");
        machine.Verify();
    }

    [Fact]
    public void Freed_addresses_are_not_used_again_before_they_are_purged()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        Cpu cpu = machine.Cpus[0];
        VirtualAddress first = cpu.Vmalloc(4096);
        cpu.Vfree(first);

        VirtualAddress second = cpu.Vmalloc(4096);
        cpu.Vfree(second);
        second.Should().Be(first + 8192);
        machine.AreasOfUsers().Should().Be("0xffffc90000005000-0xffffc90000009000   16384 unpurged vm_area\n");
        cpu.Vm.VmUnmapAliases();

        cpu.Vmalloc(4096).Should().Be(first);
        machine.Verify();
    }

    [Fact]
    public void The_worker_gives_address_space_back_while_pages_are_freed_so_the_table_of_the_area_that_was_too_much_stays_aside()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        Cpu cpu = machine.Cpus[0];
        for (int i = 0; i < 2; i++)
        {
            cpu.Vfree(cpu.Vmalloc(3000 * 4096));
        }

        machine.Memory.Vmalloc.LazyPages.Should().Be(2 * (3001 + 7));
        cpu.Vfree(cpu.Vmalloc(3000 * 4096));
        machine.Memory.Vmalloc.LazyPages.Should().Be(7, "6 pages of pointers and their guard page were put aside after the worker");
        machine.Verify();
    }

    [Fact]
    public void Since_6_9_a_flushed_range_goes_back_to_the_cpu_that_had_it_and_ranges_put_aside_stay_apart()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 2).WithKernel("6.18"));
        Cpu cpu = machine.Cpus[1];
        VirtualAddress first = cpu.Vmalloc(4096);
        VirtualAddress second = cpu.Vmalloc(4096);
        cpu.Vfree(first);
        cpu.Vfree(second);
        machine.Proc.VmallocInfo.Split('\n').Count(line => line.EndsWith(" unpurged vm_area", StringComparison.Ordinal)).Should().Be(2);
        cpu.Vm.VmUnmapAliases();

        machine.Cpus[0].Vmalloc(4096).Should().Be(second + 8192, "both ranges wait for CPU 1");
        cpu.Vmalloc(4096).Should().Be(second);
        cpu.Vmalloc(4096).Should().Be(first);
        machine.Verify();
    }

    [Fact]
    public void Since_6_9_areas_are_listed_node_after_node_as_64_KiB_of_address_space_alternate_between_them()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 2).WithKernel("6.18"));
        Cpu cpu = machine.Cpus[0];
        VirtualAddress start = cpu.Vmalloc(15 * 4096, Gfp.Kernel, "even");
        cpu.Vmalloc(15 * 4096, Gfp.Kernel, "odd").Should().Be(start + 65536);
        cpu.Vmalloc(15 * 4096, Gfp.Kernel, "even again").Should().Be(start + 131072);
        machine.Proc.VmallocInfo.Split('\n').Where(line => line.Contains(" odd ", StringComparison.Ordinal) || line.Contains(" even ", StringComparison.Ordinal))
            .Select(line => line.Contains(" odd ", StringComparison.Ordinal)).Should().Equal(false, false, true);
        machine.Verify();
    }

    [Fact]
    public void An_area_of_more_than_512_pages_has_a_table_with_an_area_of_its_own()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        Cpu cpu = machine.Cpus[0];

        VirtualAddress area = cpu.Vmalloc(513 * 4096, Gfp.Kernel, "large");

        string[] lines = machine.AreasOfUsers().Split('\n');
        lines[0].Should().Contain("large pages=513 vmalloc vpages N0=513");
        lines[1].Should().Contain("pages=2 vmalloc N0=2");
        cpu.Vm.VmallocToPage(area + (514 * 4096)).IsNull.Should().BeFalse("the table follows the guard page");
        cpu.Vfree(area);
        machine.Memory.Vmalloc.UsedPages.Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void Misuse_is_named_and_changes_nothing()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        Cpu cpu = machine.Cpus[0];
        VirtualAddress area = cpu.Vmalloc(8192);

        Bug(() => cpu.Vfree(area + 4096)).Should().Be(KernelBugKind.NotFirstPage);
        Bug(() => cpu.Vfree(area + (1 << 30))).Should().Be(KernelBugKind.ForeignAddress);
        Bug(() => cpu.Vm.Vunmap(area)).Should().Be(KernelBugKind.ForeignAddress);
        Bug(() => cpu.Vmalloc(0)).Should().Be(KernelBugKind.WrongOrder);
        using (cpu.Context.HoldSpinlock())
        {
            Bug(() => cpu.Vmalloc(4096)).Should().Be(KernelBugKind.SleepingInAtomic);
            Bug(() => cpu.Vfree(area)).Should().Be(KernelBugKind.SleepingInAtomic);
        }

        cpu.Vfree(area);
        Bug(() => cpu.Vfree(area)).Should().Be(KernelBugKind.DoubleFree);
        machine.Verify();
    }

    [Fact]
    public void Vfree_in_an_interrupt_is_done_later()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        Cpu cpu = machine.Cpus[0];
        VirtualAddress area = cpu.Vmalloc(4096);
        using (cpu.HardIrq())
        {
            cpu.Vfree(area);
        }

        machine.Memory.Vmalloc.UsedPages.Should().Be(1);
        cpu.Vm.RunDeferredVfrees();
        machine.Memory.Vmalloc.UsedPages.Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void A_request_that_fails_half_way_leaves_nothing()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        Cpu cpu = machine.Cpus[0];
        long used = machine.Zones.Sum(z => z.FreePages);
        cpu.Vfree(cpu.Vmalloc(4096));

        cpu.Vmalloc((used - 100) * 4096, Gfp.Kernel).IsNull.Should().BeTrue();
        machine.Reports.LastVmallocFailure.Should().Contain("failed to allocate pages");
        cpu.Vmalloc(long.MaxValue).IsNull.Should().BeTrue();
        machine.Reports.LastVmallocFailure.Should().Contain("exceeds total pages");

        machine.Memory.Vmalloc.UsedPages.Should().Be(0);
        cpu.Vm.VmUnmapAliases();
        machine.AreasOfUsers().Should().BeEmpty();
        machine.Verify();
    }

    [Fact]
    public void Vmap_maps_the_callers_pages_and_leaves_them_alone()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        Cpu cpu = machine.Cpus[0];
        Page[] pages = [cpu.AllocPage(Gfp.Kernel), cpu.AllocPage(Gfp.Kernel)];

        VirtualAddress area = cpu.Vm.Vmap([pages[1], pages[0]]);

        cpu.Write(area + 4096, 42);
        cpu.Read<int>(pages[0].Address).Should().Be(42);
        machine.Verify();
        cpu.Vm.Vunmap(area);
        cpu.Vm.VmallocToPage(area).IsNull.Should().BeTrue();
        cpu.FreePage(pages[0]);
        cpu.FreePage(pages[1]);
        machine.Verify();
    }

    [Fact]
    public void On_32_bits_vmalloc_starts_8_MiB_above_low_memory()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_32("1G", cpus: 1));
        Cpu cpu = machine.Cpus[0];

        machine.AddressSpace.Vmalloc.Start.Should().Be(machine.Memory.DirectMapEnd + (8 << 20));
        machine.AddressSpace.Vmalloc.End.Value.Should().Be(0xfebfe000);
        cpu.Vm.VmallocToPage(cpu.Vmalloc(4096)).Zone.Type.Should().Be(ZoneType.HighMem);
        machine.Verify();
    }

    [Theory]
    [InlineData(1, 0x8000_0000)]
    [InlineData(1, (uint)(Gfp.Movable | Gfp.Reclaimable))]
    [InlineData(600, (uint)(Gfp.Dma | Gfp.Dma32))]
    [InlineData(1024, (uint)(Gfp.Dma | Gfp.Dma32))]
    public void Flags_that_do_not_go_together_leave_no_area(int pages, uint extra)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 1));
        Cpu cpu = machine.Cpus[0];

        Bug(() => cpu.Vmalloc(pages * 4096L, Gfp.Kernel | (Gfp)extra)).Should().Be(KernelBugKind.IllegalFlags);
        Bug(() => cpu.Vm.VmallocHuge(pages * 4096L, Gfp.Kernel | (Gfp)extra)).Should().Be(KernelBugKind.IllegalFlags);

        machine.Verify();
        cpu.Vm.VmUnmapAliases();
        machine.AreasOfUsers().Should().BeEmpty();
        machine.Slab.FindLiveObjects().Should().BeEmpty();
    }

    private static KernelBugKind Bug(Action call) => call.Should().Throw<KernelBugException>().Which.Kind;
}
