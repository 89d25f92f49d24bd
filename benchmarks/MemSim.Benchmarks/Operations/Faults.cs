using System.Runtime.CompilerServices;
using MemSim.Benchmarks.Harness;
using MemSim.Hardware;

namespace MemSim.Benchmarks.Operations;

/// <summary>Page faults, fork, mapping, and the zeroing of pages alone for comparison.</summary>
/// <remarks>
/// The faults are timed alone, 256 at a time; their pages are given back between the samples, and come again warm from the CPU's lists. The <c>_cold</c>
/// operations go through 512 MiB of frames that the host has backed before; <c>fault_minor_anon_first_touch</c> is the only one in which the host's own page
/// faults count. <c>stream_write_1g</c> counts pages, its unmapping included.
/// </remarks>
internal static class Faults
{
    private const int Batch = 256;
    private const int ColdPages = 512 << 8;
    private const int WindowPages = 16;
    private const long MiB = 1 << 20;

    public static IReadOnlyList<Operation> Table { get; } =
    [
        new("MemSim", "zero_page_warm", _ => InProcess((cpu, process) => ZeroedPages(cpu, Batch))),
        new("MemSim", "zero_page_cold", _ => InProcess((cpu, process) => ZeroedPages(cpu, ColdPages), "768M")),
        new("MemSim", "fault_minor_anon", _ => InProcess((cpu, process) => MinorFaults(cpu, process, Batch))),
        new("MemSim", "fault_minor_anon_cold", _ => InProcess((cpu, process) => MinorFaults(cpu, process, ColdPages), "768M")),
        new("MemSim", "fault_minor_anon_first_touch", _ => FirstTouch()),
        new("MemSim", "fault_minor_anon_drop", _ => InProcess((cpu, process) => new Workload(TouchedAndDropped(cpu, process), Batch))),
        new("MemSim", "fault_cow", _ => InProcess(CowFaults)),
        new("MemSim", "fault_file_cached", _ => InProcess(FileFaults)),
        new("MemSim", "fork_exit_64m", _ => InProcess((cpu, process) => new Workload(ForkExit(cpu, process)))),
        new("MemSim", "zap_64m", _ => InProcess(Zaps)),
        new("MemSim", "mprotect_64m", _ => InProcess((cpu, process) => new Workload(ProtectTwice(cpu, process), OperationsPerTurn: 2 * (int)(64 * MiB >> 12)))),
        new("MemSim", "mremap_64m", _ => InProcess((cpu, process) => new Workload(MoveTwice(cpu, process), OperationsPerTurn: 2 * (int)(64 * MiB >> 12)))),
        new("MemSim", "madvise_cold_64m", _ => InProcess((cpu, process) => new Workload(Chill(cpu, process), OperationsPerTurn: (int)(64 * MiB >> 12)))),
        new("MemSim", "mmap_munmap_pair", _ => InProcess((_, process) => new Workload(MapPairs(process)))),
        new("MemSim", "stream_write_1g", _ => InProcess((cpu, process) => new Workload(Stream(cpu, process), OperationsPerTurn: (int)(1024 * MiB >> 12)), "1280M")),
        new("Host", "fault_host_zero_4k", _ => new Workload(HostZero())),
    ];

    private static Workload InProcess(Func<Cpu, Process, Workload> pattern, string memory = "2G")
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64(memory, cpus: 2).WithCommandLine("transparent_hugepage=never"));
        Cpu cpu = machine.Cpus[0];
        Process process = machine.CreateProcess("bench");
        _ = cpu.Run(process);
        Workload workload = pattern(cpu, process);
        return workload with { Release = machine };
    }

    private static Workload MinorFaults(Cpu cpu, Process process, int pages)
    {
        VirtualAddress buffer = process.Mm.Mmap((long)pages << 12, Prot.Read | Prot.Write);
        Touch(cpu, buffer, pages);
        Drop();
        return new Workload(_ => Touch(cpu, buffer, pages), pages) { Between = Drop };

        void Drop() => _ = process.Mm.Madvise(buffer, (long)pages << 12, MemoryAdvice.DontNeed);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Touch(Cpu cpu, VirtualAddress buffer, int pages)
    {
        for (int i = 0; i < pages; i++)
        {
            cpu.Write(buffer + ((long)i << 12), i);
        }
    }

    /// <summary>Faults in a machine just booted: whenever one reaches 2 MiB that nobody has written yet, the host has to find and clear them.</summary>
    private static Workload FirstTouch()
    {
        const int pages = (int)(64 * MiB >> 12);
        Machine machine = null!;
        Cpu cpu = null!;
        VirtualAddress buffer = default;
        Renew();
        return new Workload(_ => Touch(cpu, buffer, pages), pages, new Owner(() => machine)) { Between = Renew };

        void Renew()
        {
            machine?.Dispose();
            machine = Machine.Boot(MachineSpec.X86_64("256M"));
            cpu = machine.Cpus[0];
            Process process = machine.CreateProcess("bench");
            _ = cpu.Run(process);
            buffer = process.Mm.Mmap((long)pages << 12, Prot.Read | Prot.Write);
        }
    }

    private static Action<int> TouchedAndDropped(Cpu cpu, Process process)
    {
        Workload faults = MinorFaults(cpu, process, Batch);
        return faults.RunWhole;
    }

    private static Workload CowFaults(Cpu cpu, Process process)
    {
        VirtualAddress buffer = process.Mm.Mmap(Batch << 12, Prot.Read | Prot.Write);
        Touch(cpu, buffer, Batch);
        Process child = process.Fork();
        return new Workload(_ => Touch(cpu, buffer, Batch), Batch) { Between = Again };

        void Again()
        {
            child.Exit();
            _ = process.Wait();
            child = process.Fork();
        }
    }

    /// <summary>Reads of a mapped file in the page cache, one in each window of 16 pages: every one faults and maps its window.</summary>
    private static Workload FileFaults(Cpu cpu, Process process)
    {
        const long bytes = Batch * WindowPages * 4096L;
        OpenFile file = cpu.Machine.Files.Mount(new BlockDevice("sda", "64M")).Create("file").Value;
        byte[] page = new byte[4096];
        for (long at = 0; at < bytes; at += page.Length)
        {
            _ = cpu.Files.Write(file, at, page);
        }

        _ = cpu.Files.Fsync(file);
        VirtualAddress buffer = process.Mm.Mmap(default, bytes, Prot.Read, MapFlags.Shared, file);
        return new Workload(_ => ReadWindows(cpu, buffer), Batch) { Between = () => _ = process.Mm.Madvise(buffer, bytes, MemoryAdvice.DontNeed) };
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void ReadWindows(Cpu cpu, VirtualAddress buffer)
    {
        for (int i = 0; i < Batch; i++)
        {
            _ = cpu.Read<int>(buffer + ((long)i * WindowPages << 12));
        }
    }

    private static VirtualAddress Touched64M(Cpu cpu, Process process)
    {
        VirtualAddress buffer = process.Mm.Mmap(64 * MiB, Prot.Read | Prot.Write);
        Touch(cpu, buffer, (int)(64 * MiB >> 12));
        return buffer;
    }

    /// <summary>Pages taken out of page tables and freed, faulted in again between the samples.</summary>
    private static Workload Zaps(Cpu cpu, Process process)
    {
        VirtualAddress buffer = Touched64M(cpu, process);
        return new Workload(_ => process.Mm.Madvise(buffer, 64 * MiB, MemoryAdvice.DontNeed), (int)(64 * MiB >> 12)) { Between = () => Touch(cpu, buffer, (int)(64 * MiB >> 12)) };
    }

    /// <summary>Takes the right to write away and gives it back, for each page.</summary>
    private static Action<int> ProtectTwice(Cpu cpu, Process process)
    {
        VirtualAddress buffer = Touched64M(cpu, process);
        return turns =>
        {
            for (int turn = 0; turn < turns; turn++)
            {
                _ = process.Mm.Mprotect(buffer, 64 * MiB, Prot.Read);
                _ = process.Mm.Mprotect(buffer, 64 * MiB, Prot.Read | Prot.Write);
            }
        };
    }

    /// <summary>Moves pages to another place and back.</summary>
    private static Action<int> MoveTwice(Cpu cpu, Process process)
    {
        VirtualAddress buffer = Touched64M(cpu, process);
        VirtualAddress other = process.Mm.Mmap(64 * MiB, Prot.Read);
        _ = process.Mm.Munmap(other, 64 * MiB);
        return turns =>
        {
            for (int turn = 0; turn < turns; turn++)
            {
                _ = process.Mm.Mremap(buffer, 64 * MiB, 64 * MiB, RemapFlags.MayMove | RemapFlags.Fixed, other);
                _ = process.Mm.Mremap(other, 64 * MiB, 64 * MiB, RemapFlags.MayMove | RemapFlags.Fixed, buffer);
            }
        };
    }

    private static Action<int> Chill(Cpu cpu, Process process)
    {
        VirtualAddress buffer = Touched64M(cpu, process);
        return turns =>
        {
            for (int turn = 0; turn < turns; turn++)
            {
                _ = process.Mm.Madvise(buffer, 64 * MiB, MemoryAdvice.Cold);
            }
        };
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
                cpu.Write(buffer + at, line);
            }

            _ = process.Mm.Munmap(buffer, 1024 * MiB);
        }
    }

    /// <summary>What a fault pays for clearing its page: the same call on frames of the simulated memory, one after the other.</summary>
    private static Workload ZeroedPages(Cpu cpu, int pages)
    {
        long[] frames = new long[pages];
        for (int i = 0; i < pages; i++)
        {
            Page page = cpu.AllocPage(Gfp.HighUserMovable);
            cpu.Machine.Ram.Frame(page.FrameIndex).Fill(1);
            frames[i] = page.FrameIndex;
        }

        return new Workload(turns => ZeroFrames(cpu.Machine.Ram, frames, turns), pages);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void ZeroFrames(PhysicalMemory memory, long[] frames, int turns)
    {
        for (int turn = 0; turn < turns; turn++)
        {
            foreach (long frame in frames)
            {
                memory.Zero(frame, 1);
            }
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

    private sealed class Owner(Func<IDisposable> owned) : IDisposable
    {
        public void Dispose() => owned().Dispose();
    }
}
