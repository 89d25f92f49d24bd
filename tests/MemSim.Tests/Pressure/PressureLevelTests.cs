using FluentAssertions;
using MemSim.Swap;
using Xunit;

namespace MemSim.Tests.Pressure;

/// <summary>Version 1's <c>memory.pressure_level</c>.</summary>
public class PressureLevelTests
{
    [Theory]
    [InlineData(512, 300, PressureLevel.Low)]
    [InlineData(512, 600, PressureLevel.Low)]
    [InlineData(512, 210, PressureLevel.Low)]
    [InlineData(512, 200, PressureLevel.Medium)]
    [InlineData(512, 30, PressureLevel.Medium)]
    [InlineData(512, 20, PressureLevel.Critical)]
    public void The_level_is_the_share_looked_at_in_vain_over_a_window_of_512_pages(int scanned, int reclaimed, PressureLevel expected)
    {
        PressureLevels levels = new(null);
        PressureLevelWatch[] watches = [levels.Watch("low").Value, levels.Watch("medium,default").Value, levels.Watch("critical,hierarchy").Value];
        levels.Note(scanned - 1, reclaimed);
        watches.Should().OnlyContain(watch => watch.Events == 0);

        levels.Note(1, 0);

        watches.Select(watch => watch.Events != 0).Should().Equal(true, expected >= PressureLevel.Medium, expected >= PressureLevel.Critical);
        watches[0].Poll().Should().BeTrue();
        watches[0].Poll().Should().BeFalse();
        levels.Unwatch(watches[0]).Should().BeTrue();
        levels.Unwatch(watches[0]).Should().BeFalse();
        levels.Watch("high").Error.Should().Be(Errno.EINVAL);
        levels.Watch("low,below").Error.Should().Be(Errno.EINVAL);
        watches[1].Level.Should().Be(PressureLevel.Medium);
    }

    [Fact]
    public void Those_above_are_told_unless_somebody_below_was_and_local_ones_never()
    {
        PressureLevels top = new(null);
        PressureLevels below = new(top);
        PressureLevelWatch usual = top.Watch("low").Value, all = top.Watch("low,hierarchy").Value, local = top.Watch("low,local").Value;

        below.Note(512, 0);
        (usual.Events, all.Events, local.Events).Should().Be((1, 1, 0));

        PressureLevelWatch own = below.Watch("low,local").Value;
        below.Note(512, 0);
        (usual.Events, all.Events, local.Events, own.Events).Should().Be((1, 2, 0, 1));
        top.Note(512, 0);
        (usual.Events, all.Events, local.Events, own.Events).Should().Be((2, 3, 1, 1));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_cgroup_at_its_limit_goes_from_low_to_critical(bool byGenerations)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
        machine.Reclaim.LruGen.Enabled = byGenerations ? 7 : 0;
        machine.Swap.SwapOn(new MemorySwapBacking("swap", 2048)).Succeeded.Should().BeTrue();
        Cgroup pod = machine.Cgroups.Create("/pod");
        pod.MaxBytes = 16 << 20;
        PressureLevelWatch low = pod.PressureLevels.Watch("low").Value;
        PressureLevelWatch critical = machine.Cgroups.Root.PressureLevels.Watch("critical,hierarchy").Value;
        Process process = machine.CreateProcess("hog");
        process.Cgroup = pod;

        Touch(machine, process, 20 << 20);
        low.Events.Should().BeGreaterThan(0);
        long before = critical.Events;
        pod["memory.reclaim"] = "1M";
        critical.Events.Should().Be(before, "what user space asks for tells nothing");

        machine.Invoking(m => Touch(m, process, 20 << 20)).Should().Throw<SignalException>("swap is full");
        critical.Events.Should().BeGreaterThan(before);
    }

    private static void Touch(Machine machine, Process process, long bytes)
    {
        using (machine.Cpus[0].Run(process))
        {
            VirtualAddress area = process.Mm.Mmap(bytes, Prot.Read | Prot.Write);
            for (long at = 0; at < bytes; at += PageGeometry.PageSize)
            {
                machine.Cpus[0].Write(area + (ulong)at, at);
            }
        }
    }
}
