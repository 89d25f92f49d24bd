using FluentAssertions;
using MemSim.Statistics;
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

    [Fact]
    public void Files_and_reclaim_on_other_cpus_do_not_get_into_each_others_way()
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("96M", cpus: 2).WithParallelCpus());
        using BlockDevice disk = new("sda", "256M");
        using BlockDevice swap = new("zram0", "128M", BlockDeviceCosts.Memory);
        machine.Swap.SwapOn(swap).Succeeded.Should().BeTrue();
        DiskFileSystem files = machine.Files.Mount(disk);
        _ = machine.Mm;
        System.Collections.Concurrent.ConcurrentQueue<string> wrong = new();
        Thread[] threads = [.. machine.Cpus.Select(cpu => new Thread(() =>
        {
            try
            {
                WriteAndRead(machine, cpu, files.Create($"f{cpu.Id}", cpu: cpu), wrong);
            }
            catch (Exception e)
            {
                wrong.Enqueue(e.ToString());
            }
        }))];
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        wrong.Should().BeEmpty();
        machine.Lru.DrainAll();
        machine.Verify();
    }

    private static void WriteAndRead(Machine machine, Cpu cpu, OpenFile file, System.Collections.Concurrent.ConcurrentQueue<string> wrong)
    {
        const int pages = 8000;
        byte[] page = new byte[PageGeometry.PageSize];
        Process process = machine.CreateProcess($"p{cpu.Id}", on: cpu);
        VirtualAddress data;
        using (cpu.Run(process))
        {
            data = process.Mm.Mmap(pages << 12, Prot.Read | Prot.Write);
        }

        for (int round = 1; round <= 2; round++)
        {
            for (int i = 0; i < pages; i++)
            {
                BitConverter.TryWriteBytes(page, (round * 100_000) + i);
                cpu.Files.Write(file, (long)i << 12, page);
                using (cpu.Run(process))
                {
                    cpu.Write(data + ((long)i << 12), i);
                }
            }

            for (int i = 0; i < pages; i++)
            {
                cpu.Files.Read(file, (long)i << 12, page);
                if (BitConverter.ToInt32(page) != (round * 100_000) + i)
                {
                    wrong.Enqueue($"page {i} of {file.File}");
                }
            }
        }

        process.Exit(0, cpu);
    }
}
