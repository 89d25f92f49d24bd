using System.Globalization;
using FluentAssertions;
using Xunit;

namespace MemSim.Tests.Snapshots;

/// <summary>Alone: what the process takes of the host is measured.</summary>
[CollectionDefinition(nameof(ForkCostTests), DisableParallelization = true)]
public sealed class ForkCostCollection;

/// <summary>What a fork of a busy machine takes of the host's memory.</summary>
[Collection(nameof(ForkCostTests))]
public sealed class ForkCostTests
{
    private const long MiB = 1 << 20;

    [Fact]
    public void A_fork_of_a_busy_machine_of_1_GiB_takes_less_than_a_tenth_of_its_memory()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "only Linux copies what is written to");
        using Machine machine = Machine.Boot(MachineSpec.X86_64("1G", cpus: 2).WithCommandLine("transparent_hugepage=never"));
        Action<int> touch = MakeBusy(machine);

        // Its memory moves into a file of the host once.
        _ = machine.Snapshot();
        touch(0);
        long before = PrivateBytes();
        MachineSnapshot snapshot = machine.Snapshot();
        Machine copy = snapshot.Boot();
        long fork = PrivateBytes() - before;

        // What was touched since is no longer the original's own, but lies in a file that both map.
        fork += 8 * MiB;
        long itself = machine.Memory.ContentBytes;
        TestContext.Current.TestOutputHelper!.WriteLine($"{fork / MiB} MiB of {itself / MiB} MiB");
        itself.Should().BeGreaterThan(700 * MiB);
        fork.Should().BeInRange(4 * MiB, itself / 10);

        using (copy)
        {
            copy.Memory.ContentBytes.Should().Be(itself);
            copy.Verify();
            long looked = PrivateBytes();
            touch(1);
            (PrivateBytes() - looked).Should().BeInRange(6 * MiB, 24 * MiB, "each page of the 8 MiB is copied when it is written");
        }

        GC.KeepAlive(snapshot);
    }

    /// <summary>Four processes with 160 MiB each, 64 MiB of files, 20,000 objects; what is returned writes to 8 MiB of a process.</summary>
    private static Action<int> MakeBusy(Machine machine)
    {
        Cpu cpu = machine.Cpus[0];
        List<(Process Process, VirtualAddress Data)> processes = [];
        for (int i = 0; i < 4; i++)
        {
            Process process = machine.CreateProcess($"busy{i}");
            using ContextScope scope = cpu.Run(process);
            VirtualAddress data = process.Mm.Mmap(160 * MiB, Prot.Read | Prot.Write);
            Write(cpu, data, 160 * MiB);
            processes.Add((process, data));
        }

        OpenFile file = machine.Files.Mount(new BlockDevice("vda", "256M")).Create("data").Value;
        byte[] bytes = new byte[MiB];
        bytes.AsSpan().Fill(1);
        for (int i = 0; i < 64; i++)
        {
            _ = cpu.Files.Write(file, i * MiB, bytes);
        }

        for (int i = 0; i < 20_000; i++)
        {
            _ = cpu.Kmalloc(16 << (i % 8), Gfp.Kernel);
        }

        return which =>
        {
            using ContextScope scope = cpu.Run(processes[which].Process);
            Write(cpu, processes[which].Data, 8 * MiB);
        };
    }

    private static void Write(Cpu cpu, VirtualAddress from, long bytes)
    {
        for (long at = 0; at < bytes; at += PageGeometry.PageSize)
        {
            cpu.Write(from + at, at | 1);
        }
    }

    /// <summary>Memory of the process that is no file's: its own copies of pages, and the collector's heap.</summary>
    private static long PrivateBytes()
    {
        for (int i = 0; i < 4; i++)
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
            GC.WaitForPendingFinalizers();
        }

        string line = File.ReadLines("/proc/self/smaps_rollup").First(l => l.StartsWith("Anonymous:", StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) * 1024;
    }
}
