using FluentAssertions;
using MemSim.Statistics;
using Xunit;

namespace MemSim.Tests.Processes.Parallel;

/// <summary>Several host threads, each with its CPU and processes, on a machine with half the memory they want: no byte may be wrong.</summary>
public sealed class ParallelStressTests
{
    // All CPUs together.
    private const int Steps = 3000;

    [Theory]
    [InlineData(2, false, 1, Architecture.X86_64)]
    [InlineData(4, false, 2, Architecture.X86_64)]
    [InlineData(4, true, 3, Architecture.X86_64)]
    [InlineData(3, false, 4, Architecture.Arm64)]
    public void Processes_keep_their_bytes_while_all_cpus_reclaim(int cpus, bool hugePages, int seed, Architecture architecture)
    {
        using ParallelStage stage = new(cpus, hugePages, architecture);
        Machine machine = stage.Machine;
        int pages = (int)(machine.Nodes[0].Zones.Sum(zone => zone.FreePages) * 2 / cpus);
        ParallelWorker[] workers = [.. machine.Cpus.Select(cpu => new ParallelWorker(stage, cpu, stage.Parent.Fork(machine.Cpus[0]).Value, pages, seed + (100 * cpu.Id)))];
        stage.Run([.. workers.Select(worker => (Action)(() => worker.Run(Steps / cpus)))], () => string.Join(", ", workers.Select(w => w.Steps)));

        stage.Wrong.Should().BeEmpty();
        machine.Events[VmEvent.SwapOut].Should().BeGreaterThan(1000, "memory is short");
        machine.Events[VmEvent.SwapIn].Should().BeGreaterThan(500);
        machine.Lru.DrainAll();
        machine.Verify();
        stage.Parent.Exit(0, machine.Cpus[0]);
        machine.Verify();
    }
}
