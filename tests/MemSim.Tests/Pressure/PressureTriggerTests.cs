using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Pressure;

/// <summary>Events when stalls reach a threshold within a window.</summary>
public class PressureTriggerTests
{
    private const long Millisecond = 1_000_000;

    [Theory]
    [InlineData("some 150000 1000000", Errno.None)]
    [InlineData("full 500000 500000\n", Errno.None)]
    [InlineData("some 150000", Errno.EINVAL)]
    [InlineData("most 150000 1000000", Errno.EINVAL)]
    [InlineData("some 0 1000000", Errno.EINVAL)]
    [InlineData("some 1000001 1000000", Errno.EINVAL)]
    [InlineData("some 100000 499999", Errno.EINVAL)]
    [InlineData("some 100000 10000001", Errno.EINVAL)]
    public void Triggers_are_read_as_the_kernel_reads_them(string text, Errno error)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        machine.Reclaim.Pressure.AddTrigger(text).Error.Should().Be(error);
    }

    [Fact]
    public void An_event_comes_when_the_stalls_of_a_window_reach_the_threshold_and_at_most_once_a_window()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
        PressureStall pressure = machine.Reclaim.Pressure;
        machine.AdvanceTime(TimeSpan.FromSeconds(5));
        PressureTrigger some = pressure.AddTrigger("some 150000 1000000");
        PressureTrigger full = pressure.AddTrigger("full 150000 1000000");
        pressure.Stall(100 * Millisecond, full: false);
        machine.AdvanceTime(TimeSpan.FromSeconds(3));
        some.Poll().Should().BeFalse("a tenth of a second is not enough");

        pressure.Stall(200 * Millisecond, full: false);
        machine.AdvanceTime(TimeSpan.FromMilliseconds(100));
        some.Poll().Should().BeTrue();
        some.Poll().Should().BeFalse("it was told");
        pressure.Stall(300 * Millisecond, full: false);
        machine.AdvanceTime(TimeSpan.FromMilliseconds(100));
        some.Poll().Should().BeFalse("there was an event within the last second");
        machine.AdvanceTime(TimeSpan.FromSeconds(1));
        some.Poll().Should().BeTrue("what came meanwhile is told when the second is over");
        full.Poll().Should().BeFalse();
        pressure.RemoveTrigger(some).Should().BeTrue();
        pressure.Stall(1000 * Millisecond, full: true);
        machine.AdvanceTime(TimeSpan.FromSeconds(1));
        some.Events.Should().Be(2);
        full.Poll().Should().BeTrue();
    }
}
