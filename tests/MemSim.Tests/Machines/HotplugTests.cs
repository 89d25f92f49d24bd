using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Machines;

public class HotplugTests
{
    [Fact]
    public void A_cpu_that_goes_offline_gives_its_pages_back_and_the_others_limits_grow()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("1G", 2));
        Zone zone = machine.Nodes[0].GetZone(ZoneType.Dma32);
        machine.Cpus[1].FreePage(machine.Cpus[1].AllocPage(Gfp.Kernel));
        zone.Pageset(1).Count.Should().BePositive();
        int high = zone.Pageset(0).High;

        machine.Hotplug.OfflineCpu(1);

        zone.Pageset(1).Count.Should().Be(0);
        zone.Pageset(0).High.Should().BeGreaterThan(high);
        machine.Verify();
        Action use = () => machine.Cpus[1].AllocPage(Gfp.Kernel);
        use.Should().Throw<KernelBugException>();

        machine.Hotplug.OnlineCpu(1);
        zone.Pageset(0).High.Should().Be(high);
        machine.Cpus[1].AllocPage(Gfp.Kernel).IsNull.Should().BeFalse();
        machine.Verify();
    }

    [Fact]
    public void Cpu_0_and_cpus_that_do_not_exist_cannot_go_offline()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", 2));
        foreach (int cpu in new[] { -1, 0, 2 })
        {
            machine.Invoking(m => m.Hotplug.OfflineCpu(cpu)).Should().Throw<ArgumentOutOfRangeException>();
        }
    }

    [Fact]
    public void Device_memory_has_pages_but_the_buddy_allocator_never_hands_them_out()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M").WithDeviceMemory("128M"));
        Zone device = machine.Nodes[0].GetZone(ZoneType.Device);
        device.PresentPages.Should().Be(32768);
        device.ManagedPages.Should().Be(0);
        Page page = machine.GetPage(device.StartPfn + 100);
        page.Count.Should().Be(1);
        page.Zone.Should().BeSameAs(device);
        page.Flags.Should().HaveFlag(PageFlags.Reserved);

        long pages = 0;
        while (machine.Cpus[0].AllocPages(Gfp.Atomic | Gfp.HighMem | Gfp.Movable | Gfp.NoWarn) is { IsNull: false } got)
        {
            got.Zone.Type.Should().NotBe(ZoneType.Device);
            pages++;
        }

        pages.Should().BePositive();
        machine.Invoking(m => m.Cpus[0].FreePage(page)).Should().Throw<KernelBugException>().Which.Kind.Should().Be(KernelBugKind.ReservedPage);
        machine.Verify();
    }

    [Fact]
    public void A_kernel_without_zone_device_refuses_device_memory()
    {
        Action arm = () => MachineSpec.Arm64("256M").WithDeviceMemory("128M");
        arm.Should().Throw<ArgumentException>();
        Action odd = () => MachineSpec.X86_64("256M").WithDeviceMemory("100M");
        odd.Should().Throw<ArgumentException>();
    }

    [Fact]
    public void Memory_models_look_the_same_and_say_what_they_cost()
    {
        using Machine sparse = Machine.Boot(MachineSpec.X86_64("4G"));
        using Machine flat = Machine.Boot(MachineSpec.X86_64("4G").WithMemoryModel(MemoryModel.Flat));

        foreach (long pfn in new long[] { 1, 0x9e, 0x100, 0xbffdf, 0x100000, 0x13ffff })
        {
            Page mine = flat.GetPage(new Pfn(pfn));
            Page theirs = sparse.GetPage(new Pfn(pfn));
            mine.Address.Value.Should().Be(theirs.Address.Value);
            mine.Zone.Type.Should().Be(theirs.Zone.Type);
            flat.TryGetPage(theirs.Address, out Page back).Should().BeTrue();
            (back == mine).Should().BeTrue();
        }

        flat.TryGetPage(new Pfn(0xd0000), out _).Should().Be(sparse.TryGetPage(new Pfn(0xd0000), out _)).And.Be(false);
        // 3 GiB below the hole, 1 GiB above 4 GiB: FLATMEM pays for the hole, SPARSEMEM only for its 32 sections.
        sparse.Memory.MapCost.KernelSections.Should().Be(32);
        sparse.Memory.MapCost.KernelBytes.Should().Be(32L * 32768 * 64);
        flat.Memory.MapCost.KernelBytes.Should().BeGreaterThan(sparse.Memory.MapCost.KernelBytes * 5 / 4 - (2 << 20));
        flat.Memory.MapCost.KernelSections.Should().Be(0);
    }
}
