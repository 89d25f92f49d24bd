using BenchmarkDotNet.Attributes;
using MemSim.Benchmarks.Operations;

namespace MemSim.Benchmarks.Classes;

/// <summary>Booting machines of very different size, metadata only. A boot does allocate managed memory: the machine itself.</summary>
[MemoryDiagnoser]
public class BootBenchmarks
{
    [Benchmark(Baseline = true)]
    public void boot_1G() => Boot("1G");

    [Benchmark]
    public void boot_64G() => Boot("64G");

    [Benchmark]
    public void boot_1T() => Boot("1T");

    private static void Boot(string memory) => BootOperations.BootAndDispose(MachineSpec.X86_64(ByteSize.Parse(memory)).WithoutContents(), 1);
}
