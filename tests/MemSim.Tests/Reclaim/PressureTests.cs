using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Reclaim;

/// <summary>Pressure figures by the kernel's arithmetic.</summary>
public sealed class PressureTests : MachineTests
{
    [Fact]
    public void No_stall_no_pressure()
    {
        PressureStall pressure = Boot(MachineSpec.X86_64("128M")).Reclaim.Pressure;
        pressure.Advance(TimeSpan.FromHours(1));
        pressure.Text.Should().Be("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
    }

    [Fact]
    public void A_second_lost_in_two_moves_each_average_by_its_share()
    {
        PressureStall pressure = Boot(MachineSpec.X86_64("128M")).Reclaim.Pressure;
        pressure.Stall(1_000_000_000, full: false);
        pressure.Advance(TimeSpan.FromSeconds(1));

        // 50 % weighted with 1 - exp(-2/10), 1 - exp(-2/60), 1 - exp(-2/300).
        pressure.Text.Should().Be("some avg10=9.05 avg60=1.63 avg300=0.34 total=1000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
    }

    [Fact]
    public void Averages_tend_to_the_share_lost_and_fade()
    {
        PressureStall pressure = Boot(MachineSpec.X86_64("128M")).Reclaim.Pressure;
        pressure.Stall(100_000_000_000, full: true);
        pressure.Average(full: true, 10).Should().BeInRange(99_90, 100_00);
        pressure.Average(full: true, 300).Should().BeInRange(27_00, 30_00);
        pressure.Advance(TimeSpan.FromSeconds(60));
        pressure.Average(full: true, 10).Should().BeInRange(20, 30);
        (pressure.SomeMicroseconds, pressure.FullMicroseconds).Should().Be((100_000_000, 100_000_000));
    }

    [Fact]
    public void Reclaim_counts_as_pressure()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 1));
        machine.Background.Mode = BackgroundWork.Manual;
        FakeOwners owners = new(machine);
        for (int i = 0; i < 80_000; i++)
        {
            owners.Read(machine.Cpus[0]);
        }

        machine.Reclaim.Pressure.FullMicroseconds.Should().BeGreaterThan(0);
        machine.Reclaim.Pressure.SomeMicroseconds.Should().Be(machine.Reclaim.Pressure.FullMicroseconds, "the only CPU's task had to wait");
    }
}
