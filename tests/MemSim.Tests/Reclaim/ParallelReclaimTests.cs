using FluentAssertions;
using MemSim.Observability.Proc;
using Xunit;

namespace MemSim.Tests.Reclaim;

/// <summary>Two host threads drive two CPUs that read files larger than memory.</summary>
public sealed class ParallelReclaimTests
{
    [Fact]
    public void Two_cpus_reclaim_at_once_and_nothing_is_lost()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2).WithParallelCpus().WithoutContents());
        FakeOwnersWithoutBooks owners = new(machine);
        Thread[] threads = [.. machine.Cpus.Select(cpu => new Thread(() =>
        {
            for (int i = 0; i < 100_000; i++)
            {
                owners.Read(cpu);
            }
        }))];
        foreach (Thread thread in threads)
        {
            thread.Start();
        }

        foreach (Thread thread in threads)
        {
            thread.Join();
        }

        machine.Lru.DrainAll();
        machine.Verify();
        long cached = machine.Nodes[0].Counters.InactiveFile;
        long stolen = machine.Events[VmEvent.StealKswapd] + machine.Events[VmEvent.StealDirect];
        (cached + stolen).Should().Be(200_000);
    }
}
