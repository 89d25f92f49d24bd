using FluentAssertions;
using MemSim.Tests.Filesystems;
using Xunit;

namespace MemSim.Tests.Reclaim;

/// <summary>Devices, dirty pages, pressure and background threads go by one clock.</summary>
public class ClockTests : MachineTests
{
    [Fact]
    public void A_wait_for_a_device_passes_for_everybody_and_is_no_pressure()
    {
        using FileMachine m = new();
        OpenFile file = m.Files.Create("f").Value;
        m.Cpu.Files.Write(file, 0, new byte[4096]);

        m.Cpu.Files.Fsync(file).Should().Be(Errno.None);

        m.Machine.Uptime.Should().BePositive();
        m.Machine.Reclaim.Pressure.Nanoseconds.Should().Be(m.Machine.Clock.Nanoseconds);
        m.Machine.Reclaim.Pressure.SomeMicroseconds.Should().Be(0);
    }

    [Fact]
    public void Dirty_pages_grow_old_while_pressure_figures_fade()
    {
        using FileMachine m = new();
        m.Machine.Reclaim.Pressure.Stall(1_000_000_000, full: true);
        OpenFile file = m.Files.Create("f").Value;
        m.Cpu.Files.Write(file, 0, new byte[4096]);
        m.Machine.Reclaim.Pressure.Average(full: true, 10).Should().Be(0, "two seconds are not over");

        m.Machine.Reclaim.Pressure.Advance(TimeSpan.FromSeconds(40));

        m.Counters.Dirty.Should().Be(0);
        m.Machine.Uptime.Should().BeGreaterThanOrEqualTo(TimeSpan.FromSeconds(41));
        m.Machine.Reclaim.Pressure.Average(full: true, 300).Should().BeInRange(1, 100);
    }

    [Fact]
    public void Reclaim_takes_time_that_devices_see()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M", cpus: 1));
        FakeOwners owners = new(machine);
        for (int i = 0; i < 40_000; i++)
        {
            owners.Read(machine.Cpus[0]);
        }

        machine.Uptime.Should().BePositive();
        machine.Uptime.Ticks.Should().Be(machine.Reclaim.Pressure.Nanoseconds / 100);
        machine.Reclaim.Pressure.SomeMicroseconds.Should().Be(machine.Clock.Nanoseconds / 1000, "nothing else took time");
    }

    [Fact]
    public void Reclaim_and_waits_for_the_swap_device_add_up()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M", cpus: 1));
        using BlockDevice device = new("swap", "256M", BlockDeviceCosts.SolidState);
        machine.Swap.SwapOn(device).Succeeded.Should().BeTrue();
        Process process = machine.CreateProcess("hog");
        Cpu cpu = machine.Cpus[0];
        _ = cpu.Run(process);
        VirtualAddress data = process.Mm.Mmap(160 << 20, Prot.Read | Prot.Write).Value;

        for (long page = 0; page < 160 << 8; page++)
        {
            cpu.Write(data + (page << PageGeometry.PageShift), page);
        }

        cpu.Read<long>(data).Should().Be(0);

        long stalled = machine.Reclaim.Pressure.SomeMicroseconds;
        stalled.Should().BePositive();
        long waited = machine.DeviceWaits.Nanoseconds;
        waited.Should().BePositive("the first page had to be read");
        (machine.Clock.Nanoseconds / 1000).Should().BeInRange(Math.Max(stalled, waited / 1000), stalled + (waited / 1000) + 1);
    }

    [Fact]
    public void Kcompactd_looks_twice_a_second_once_memory_is_compacted_at_all()
    {
        Machine machine = Boot(MachineSpec.X86_64("128M"));
        Cpu cpu = machine.Cpus[0];
        MovablePool pool = machine.Migration.CreateMovablePool();
        pool.KeepEvery(cpu, pool.Fill(cpu), 2);
        machine.Compaction.FragmentationScore(machine.Nodes[0]).Should().BeGreaterThan(90);
        machine.Reclaim.Enable();
        machine.CompactorOf();

        machine.AdvanceTime(TimeSpan.FromMilliseconds(400));
        machine.Events("compact_daemon_migrate_scanned").Should().Be(0);
        machine.AdvanceTime(TimeSpan.FromMilliseconds(200));

        machine.Events("compact_daemon_migrate_scanned").Should().BePositive();
        machine.Compaction.FragmentationScore(machine.Nodes[0]).Should().BeLessThan(90);
    }
}
