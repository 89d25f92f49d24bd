using FluentAssertions;
using MemSim.Recordings.Workloads;
using MemSim.Statistics;
using MemSim.Tests.Reclaim;
using Xunit;

namespace MemSim.Tests.Recordings.Workloads;

/// <summary>Kswapd works while others use memory up, and gets as far as its time allows.</summary>
public sealed class SharedTimeTests
{
    [Fact]
    public void A_slow_kswapd_on_the_only_cpu_leaves_some_work_to_those_who_ask()
    {
        (long kswapd, long direct, TimeShares time, Machine machine) = Fill(cpus: 1, new WorkCosts { SwapOut = 50_000 });
        using (machine)
        {
            kswapd.Should().BePositive("it got its turns");
            direct.Should().BePositive("it was not in time");
            time.BackgroundNanoseconds.Should().BeInRange(time.Now / 10, time.Now * 3 / 4, "the two share one CPU");
            machine.Background.Run();
            machine.Verify();
        }
    }

    [Fact]
    public void A_fast_kswapd_on_its_own_cpu_is_in_time()
    {
        (long kswapd, long direct, _, Machine machine) = Fill(cpus: 2, new WorkCosts { Fault = 100_000, SwapOut = 200, WriteDelay = 1, WritePage = 1, WakeDelayIdle = 1_000 });
        using (machine)
        {
            direct.Should().BeLessThan(kswapd / 20, "only while kswapd wakes up is anything left to others");
            kswapd.Should().BePositive();
        }
    }

    [Fact]
    public void Kswapd_that_dozes_is_woken_at_once_and_sleeps_after_a_tenth_of_a_second()
    {
        (_, _, TimeShares time, Machine machine) = Fill(cpus: 1, new WorkCosts());
        using (machine)
        {
            RecordingSink sink = new();
            machine.Tracing.Attach(sink);
            machine.Reclaim.Vmscan.StateOf(machine.Nodes[0]).Kswapd.IsRunning.Should().BeTrue("it only dozes, or still works");
            time.Sleep(machine.Cpus[0], 1_000_000_000);

            machine.Reclaim.Vmscan.StateOf(machine.Nodes[0]).Kswapd.IsRunning.Should().BeFalse();
            sink.Log.Should().ContainSingle(l => l == "sleep");
        }
    }

    [Fact]
    public void Writes_to_swap_end_when_their_time_has_come()
    {
        (_, _, TimeShares time, Machine machine) = Fill(cpus: 1, new WorkCosts { WriteDelay = 50_000_000 });
        using (machine)
        {
            machine.Swap.WritesUnderWay.Should().BePositive();
            time.Sleep(machine.Cpus[0], 1_000_000_000);
            machine.Swap.WritesUnderWay.Should().Be(0);
        }
    }

    [Fact]
    public void The_same_run_twice_gives_the_same_counts()
    {
        (long kswapd, long direct, TimeShares time, Machine machine) = Fill(cpus: 2, new WorkCosts());
        using (machine)
        {
            (long again, long directAgain, TimeShares timeAgain, Machine second) = Fill(cpus: 2, new WorkCosts());
            using (second)
            {
                (again, directAgain, timeAgain.Now).Should().Be((kswapd, direct, time.Now));
            }
        }
    }

    [Fact]
    public void A_zone_with_nothing_on_its_lists_counts_its_free_pages_as_reclaimable()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("96M"));
        machine.Reclaim.Enable();
        Zone zone = machine.Zones.First(z => z.IsPopulated);
        machine.Reclaim.Vmscan.ReclaimablePages(zone).Should().Be(zone.TrueFreePages);
    }

    /// <summary>A process writes to more memory than there is, with a disk for swap.</summary>
    private static (long Kswapd, long Direct, TimeShares Time, Machine Machine) Fill(int cpus, WorkCosts costs)
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64("96M", cpus));
        machine.Reclaim.Enable();
        TimeShares time = TimeShares.Of(machine, costs);
        machine.Swap.SwapOn(new BlockDevice("vdb", "128M", new BlockDeviceCosts(0, 1, 0)) { HoldsWrites = true }).Succeeded.Should().BeTrue();
        Cpu cpu = machine.Cpus[0];
        Process hog = machine.CreateProcess("hog");
        using (cpu.Run(hog))
        {
            VirtualAddress start = hog.Mm.Mmap(72 << 20, Prot.Read | Prot.Write).Value;
            for (long at = 0; at < 72 << 20; at += PageGeometry.PageSize)
            {
                cpu.Write(start + at, (byte)1);
                time.Breathe(cpu);
            }
        }

        return (machine.Events[VmEvent.StealKswapd], machine.Events[VmEvent.StealDirect], time, machine);
    }
}
