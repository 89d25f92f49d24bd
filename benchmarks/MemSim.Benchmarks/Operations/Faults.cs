using System.Runtime.CompilerServices;
using MemSim.Benchmarks.Harness;

namespace MemSim.Benchmarks.Operations;

/// <summary>Page faults, fork, mapping. A fault includes giving its page back: areas are emptied 256 pages at a time.</summary>
/// <remarks><c>fault_host_zero_4k</c> is the zeroing of a page alone, on the host's memory, for comparison; <c>stream_write_1g</c> counts pages.</remarks>
internal static class Faults
{
    private const int Batch = 256;
    private const long MiB = 1 << 20;

    public static IReadOnlyList<Operation> Table { get; } =
    [
        new("MemSim", "fault_minor_anon", _ => InProcess((cpu, process) => new Workload(MinorFaults(cpu, process), Batch))),
        new("MemSim", "fault_cow", _ => InProcess((cpu, process) => new Workload(CowFaults(cpu, process), Batch))),
        new("MemSim", "fork_exit_64m", _ => InProcess((cpu, process) => new Workload(ForkExit(cpu, process)))),
        new("MemSim", "mmap_munmap_pair", _ => InProcess((_, process) => new Workload(MapPairs(process)))),
        new("MemSim", "stream_write_1g", _ => InProcess((cpu, process) => new Workload(Stream(cpu, process), OperationsPerTurn: (int)(1024 * MiB >> 12)))),
        new("Host", "fault_host_zero_4k", _ => new Workload(HostZero())),
    ];

    private static Workload InProcess(Func<Cpu, Process, Workload> pattern)
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64("2G", cpus: 2).WithCommandLine("transparent_hugepage=never"));
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("bench");
        _ = cpu.Run(process);
        Workload workload = pattern(cpu, process);
        return workload with { Release = machine };
    }

    private static Action<int> MinorFaults(Cpu cpu, Process process)
    {
        VirtualAddress buffer = process.Mm.Mmap(Batch << 12, Prot.Read | Prot.Write);
        return turns => TouchAndDrop(cpu, process, buffer, turns);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void TouchAndDrop(Cpu cpu, Process process, VirtualAddress buffer, int turns)
    {
        for (int turn = 0; turn < turns; turn++)
        {
            for (int i = 0; i < Batch; i++)
            {
                cpu.Write(buffer + ((long)i << 12), i);
            }

            _ = process.Mm.Madvise(buffer, Batch << 12, MemoryAdvice.DontNeed);
        }
    }

    private static Action<int> CowFaults(Cpu cpu, Process process)
    {
        VirtualAddress buffer = process.Mm.Mmap(Batch << 12, Prot.Read | Prot.Write);
        return turns => CopyAll(cpu, process, buffer, turns);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void CopyAll(Cpu cpu, Process process, VirtualAddress buffer, int turns)
    {
        for (int turn = 0; turn < turns; turn++)
        {
            for (int i = 0; i < Batch; i++)
            {
                cpu.Write(buffer + ((long)i << 12), i);
            }

            Process child = process.Fork();
            for (int i = 0; i < Batch; i++)
            {
                cpu.Write(buffer + ((long)i << 12), i);
            }

            child.Exit();
            _ = process.Wait();
            _ = process.Mm.Madvise(buffer, Batch << 12, MemoryAdvice.DontNeed);
        }
    }

    private static Action<int> ForkExit(Cpu cpu, Process process)
    {
        VirtualAddress buffer = process.Mm.Mmap(64 * MiB, Prot.Read | Prot.Write);
        for (long at = 0; at < 64 * MiB; at += 4096)
        {
            cpu.Write(buffer + at, at);
        }

        return turns => ForkAndExit(process, turns);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void ForkAndExit(Process process, int turns)
    {
        for (int turn = 0; turn < turns; turn++)
        {
            Process child = process.Fork();
            child.Exit();
            _ = process.Wait();
        }
    }

    private static Action<int> MapPairs(Process process) => turns => MapAndUnmap(process, turns);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void MapAndUnmap(Process process, int turns)
    {
        for (int turn = 0; turn < turns; turn++)
        {
            VirtualAddress at = process.Mm.Mmap(64 << 12, Prot.Read | Prot.Write);
            _ = process.Mm.Munmap(at, 64 << 12);
        }
    }

    private static Action<int> Stream(Cpu cpu, Process process) => turns => StreamWrite(cpu, process, turns);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void StreamWrite(Cpu cpu, Process process, int turns)
    {
        byte[] line = new byte[4096];
        for (int turn = 0; turn < turns; turn++)
        {
            VirtualAddress buffer = process.Mm.Mmap(1024 * MiB, Prot.Read | Prot.Write);
            for (long at = 0; at < 1024 * MiB; at += line.Length)
            {
                cpu.WriteBytes(buffer + at, line);
            }

            _ = process.Mm.Munmap(buffer, 1024 * MiB);
        }
    }

    private static Action<int> HostZero()
    {
        byte[] memory = new byte[Batch << 12];
        return turns => ZeroPages(memory, turns);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void ZeroPages(byte[] memory, int turns)
    {
        for (int turn = 0; turn < turns; turn++)
        {
            memory.AsSpan((turn & (Batch - 1)) << 12, 4096).Clear();
        }
    }
}
