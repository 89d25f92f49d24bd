using MemSim.Benchmarks.Harness;

namespace MemSim.Benchmarks.Operations;

/// <summary>Snapshots of a busy machine of 1 GiB, and the machines booted from them.</summary>
/// <remarks>
/// Four processes have written to 640 MiB, 64 MiB of files are cached, and 20,000 objects are allocated. Between two turns 8 MiB are written to: what a snapshot, or a machine booted from one,
/// costs is what was touched since. <c>snapshot_boot_1g</c> counts the end of the machine too, <c>fork_machine_1g</c> is both together.
/// </remarks>
internal static class Snapshots
{
    private const long MiB = 1 << 20;

    public static IReadOnlyList<Operation> Table { get; } =
    [
        new("MemSim", "snapshot_1g", _ => With((machine, _) => machine.Snapshot())),
        new("MemSim", "snapshot_boot_1g", _ => With((_, taken) => taken.Boot().Dispose())),
        new("MemSim", "fork_machine_1g", _ => With((machine, _) => machine.Snapshot().Boot().Dispose())),
    ];

    /// <summary>A busy machine: what the table's remarks say.</summary>
    public static Machine Busy(out Action touch)
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64("1G", cpus: 2).WithCommandLine("transparent_hugepage=never"));
        Cpu cpu = machine.Cpus[0];
        List<(Process Process, VirtualAddress Data)> processes = [];
        for (int i = 0; i < 4; i++)
        {
            Process process = machine.CreateProcess($"busy{i}");
            using (cpu.Run(process))
            {
                VirtualAddress data = process.Mm.Mmap(160 * MiB, Prot.Read | Prot.Write);
                Write(cpu, data, 160 * MiB);
                processes.Add((process, data));
            }
        }

        OpenFile file = machine.Files.Mount(new BlockDevice("vda", "256M")).Create("data").Value;
        byte[] bytes = new byte[1 << 20];
        Array.Fill(bytes, (byte)1);
        for (int i = 0; i < 64; i++)
        {
            _ = cpu.Files.Write(file, i * MiB, bytes);
        }

        for (int i = 0; i < 20_000; i++)
        {
            _ = cpu.Kmalloc(16 << (i % 8), Gfp.Kernel);
        }

        int turn = 0;
        touch = () =>
        {
            (Process process, VirtualAddress data) = processes[turn++ % processes.Count];
            using (cpu.Run(process))
            {
                Write(cpu, data, 8 * MiB);
            }
        };
        return machine;
    }

    private static void Write(Cpu cpu, VirtualAddress from, long bytes)
    {
        for (long at = 0; at < bytes; at += PageGeometry.PageSize)
        {
            cpu.Write(from + at, at | 1);
        }
    }

    private static Workload With(Action<Machine, MachineSnapshot> act)
    {
        Machine machine = Busy(out Action touch);
        MachineSnapshot taken = machine.Snapshot();
        return new Workload(turns =>
        {
            for (int i = 0; i < turns; i++)
            {
                act(machine, taken);
            }
        })
        { Between = touch, Release = machine };
    }
}
