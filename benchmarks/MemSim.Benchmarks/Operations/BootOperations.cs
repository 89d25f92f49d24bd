using System.Globalization;
using System.Runtime.CompilerServices;
using MemSim.Benchmarks.Harness;

namespace MemSim.Benchmarks.Operations;

/// <summary>Booting a machine without contents and giving it back; the figure is nanoseconds a boot, host memory is said beside it.</summary>
internal static class BootOperations
{
    public static IReadOnlyList<Operation> Table { get; } =
    [
        Boot("boot_1G", "1G"),
        Boot("boot_64G", "64G"),
        Boot("boot_1T", "1T"),
    ];

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void BootAndDispose(MachineSpec spec, int turns)
    {
        for (int i = 0; i < turns; i++)
        {
            Machine.Boot(spec).Dispose();
        }
    }

    private static Operation Boot(string name, string memory) => new("MemSim", name, _ =>
    {
        MachineSpec spec = MachineSpec.X86_64(ByteSize.Parse(memory)).WithoutContents();
        return new Workload(turns => BootAndDispose(spec, turns)) { Remark = () => HostMemory(spec) };
    });

    private static string HostMemory(MachineSpec spec)
    {
        // Finalizers of earlier machines give address space back; they must not do so in between.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        long before = ResidentBytes();
        using Machine machine = Machine.Boot(spec);
        long taken = ResidentBytes() - before;
        GC.KeepAlive(machine);
        return string.Create(CultureInfo.InvariantCulture, $"host memory {taken / 1048576.0:F1} MiB");
    }

    private static long ResidentBytes()
    {
        if (!OperatingSystem.IsLinux())
        {
            return Environment.WorkingSet;
        }

        string pages = File.ReadAllText("/proc/self/statm").Split(' ')[1];
        return long.Parse(pages, CultureInfo.InvariantCulture) * Environment.SystemPageSize;
    }
}
