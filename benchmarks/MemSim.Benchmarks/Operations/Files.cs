using System.Runtime.CompilerServices;
using MemSim.Benchmarks.Harness;

namespace MemSim.Benchmarks.Operations;

/// <summary>Buffered reads and writes of 4 KiB in a file of 16 MiB that is in the page cache; the copy of the bytes is part of it.</summary>
internal static class Files
{
    private const int Pages = 4096;

    public static IReadOnlyList<Operation> Table { get; } =
    [
        new("MemSim", "file_read_cached_4k", _ =>
        {
            (Cpu cpu, OpenFile file, byte[] buffer) = Prepare();
            return new Workload(turns => Read(cpu, file, buffer, turns));
        }),
        new("MemSim", "file_write_4k", _ =>
        {
            (Cpu cpu, OpenFile file, byte[] buffer) = Prepare();
            return new Workload(turns => Write(cpu, file, buffer, turns));
        }),
    ];

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Read(Cpu cpu, OpenFile file, byte[] buffer, int turns)
    {
        for (int i = 0; i < turns; i++)
        {
            _ = cpu.Files.Read(file, (long)(i % Pages) * buffer.Length, buffer);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Write(Cpu cpu, OpenFile file, byte[] buffer, int turns)
    {
        for (int i = 0; i < turns; i++)
        {
            _ = cpu.Files.Write(file, (long)(i % Pages) * buffer.Length, buffer);
        }
    }

    private static (Cpu Cpu, OpenFile File, byte[] Buffer) Prepare()
    {
        Machine machine = Machine.Boot(MachineSpec.X86_64("1G"));
        Cpu cpu = machine.Cpus[0];
        OpenFile file = machine.Files.Mount(new BlockDevice("sda", "64M")).Create("file").Value;
        byte[] buffer = new byte[PageGeometry.PageSize];
        for (int i = 0; i < Pages; i++)
        {
            _ = cpu.Files.Write(file, (long)i * buffer.Length, buffer);
        }

        _ = cpu.Files.Fsync(file);
        return (cpu, file, buffer);
    }
}
