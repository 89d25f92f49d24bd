using FluentAssertions;
using MemSim.Soak;
using MemSim.Statistics;
using MemSim.Tests.Processes.Programs;
using Xunit;

namespace MemSim.Pages.Tests;

/// <summary>The random runs that machines with pages of 4 KiB go through, against the same naive models.</summary>
public sealed class ModelTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(9)]
    public void Everything_at_once_does_what_the_model_does(int seed)
    {
        SoakTally tally = new();

        SoakRun.Run((ulong)seed, 2000, tally).Should().BeNull();

        tally.Verified.Should().BeGreaterThan(2);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(6)]
    public void Pages_objects_and_areas_by_the_hundred_thousand_are_nobody_elses(int seed)
    {
        using LongRun run = new((ulong)seed);

        run.Run(200_000);

        run.Verified.Should().BePositive();
        run.MostAlive.Should().BeGreaterThan(1000);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void Processes_read_what_they_wrote_last_through_forks_swap_and_huge_pages(int seed)
    {
        using LongProcessRun run = new((ulong)seed);

        run.Run(40_000);

        run.Forks.Should().BePositive();
        run.Verified.Should().BePositive();
    }

    [Fact]
    public void Processes_under_pressure_with_cgroups_zram_and_zswap_read_what_they_wrote_last()
    {
        for (ulong seed = 0; seed < 2; seed++)
        {
            using LongProcessRun run = new(seed, pressed: true);
            run.Run(15_000);
        }
    }

    [Fact]
    public void Random_programs_of_small_areas_see_what_they_wrote()
    {
        for (int seed = 0; seed < 8; seed++)
        {
            using Machine machine = Machine.Boot(MachineSpec.Arm64(Soaks.Memory("128M"), cpus: 2));
            ProgramRun.Run(machine, ProgramShape.Small, RandomProgram.FromSeed(seed, 400, ProgramStep.Small));
        }
    }

    [Fact]
    public void Random_programs_of_huge_pages_see_what_they_wrote()
    {
        long huge = 0, split = 0;
        for (int seed = 0; seed < 3; seed++)
        {
            using Machine machine = Machine.Boot(MachineSpec.Arm64(Shape.Here.RoomForHuge, cpus: 2).WithCommandLine("transparent_hugepage=always"));
            ProgramRun.Run(machine, ProgramShape.Huge, RandomProgram.FromSeed(seed, 150, ProgramStep.Huge));
            huge += machine.Events[VmEvent.ThpFaultAlloc];
            split += machine.Events[VmEvent.ThpSplitPmd];
        }

        huge.Should().BePositive();
        split.Should().BePositive();
    }
}
