using System.Runtime.CompilerServices;
using MemSim.Benchmarks.Harness;
using MemSim.KernelMemory;

namespace MemSim.Benchmarks.Operations;

/// <summary>vmalloc, kmap, kmap_atomic, and vmalloc's search for addresses alone.</summary>
internal static class KernelMemoryOperations
{
    public static IReadOnlyList<Operation> Table { get; } =
    [
        Area("vmarea_pair_4k", 1),
        Area("vmarea_pair_64k", 16),
        Area("vmarea_pair_1m", 256),
        Vmalloc("vmalloc_pair_4k", 4096),
        Vmalloc("vmalloc_pair_64k", 64 << 10),
        Vmalloc("vmalloc_pair_1m", 1 << 20),
        HighMemory("kmap_pair", KmapPairs),
        HighMemory("kmap_atomic_pair", KmapAtomicPairs),
        LowMemory("kmap_atomic_pair_low", KmapAtomicPairs),
    ];

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void KmapPairs(Cpu cpu, Page page, int turns)
    {
        for (int i = 0; i < turns; i++)
        {
            _ = cpu.Kmap(page);
            cpu.Kunmap(page);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void KmapAtomicPairs(Cpu cpu, Page page, int turns)
    {
        for (int i = 0; i < turns; i++)
        {
            cpu.HighMemory.KunmapAtomic(cpu.HighMemory.KmapAtomic(page));
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void AreaPairs(VmapSpace space, ulong bytes, int turns)
    {
        // As vmalloc: freed ranges are put aside and given back together.
        long limit = VmapSpace.MaxLazyPages(1);
        for (int i = 0; i < turns; i++)
        {
            _ = space.PutAside(space.Allocate(bytes));
            if (space.LazyPages > limit)
            {
                space.Purge();
            }
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void VmallocPairs(Cpu cpu, long bytes, int turns)
    {
        for (int i = 0; i < turns; i++)
        {
            cpu.Vfree(cpu.Vmalloc(bytes));
        }
    }

    private static Operation Area(string name, int pages) => new("MemSim", name, _ =>
    {
        VmapSpace space = new(0xffff_c900_0000_0000, 0xffff_e900_0000_0000);
        return new Workload(turns => AreaPairs(space, VmallocRules.AreaBytes((ulong)pages << 12), turns));
    });

    private static Operation Vmalloc(string name, long bytes) => new("MemSim", name, options =>
    {
        MachineSpec spec = MachineSpec.X86_64("256M");
        Machine machine = Machine.Boot(options.Parallel ? spec.WithParallelCpus() : spec);
        Cpu cpu = machine.Cpus[0];
        return new Workload(turns => VmallocPairs(cpu, bytes, turns), 1, machine);
    })
    { HasParallelForm = true };

    private static Operation HighMemory(string name, Action<Cpu, Page, int> run) => new("MemSim", name, options => Prepare(MachineSpec.X86_32Pae("1G"), Gfp.HighUser, options, run)) { HasParallelForm = true };

    private static Operation LowMemory(string name, Action<Cpu, Page, int> run) => new("MemSim", name, options => Prepare(MachineSpec.X86_64("256M"), Gfp.Kernel, options, run));

    private static Workload Prepare(MachineSpec spec, Gfp gfp, BenchmarkOptions options, Action<Cpu, Page, int> run)
    {
        Machine machine = Machine.Boot(options.Parallel ? spec.WithParallelCpus() : spec);
        Cpu cpu = machine.Cpus[0];
        Page page = cpu.AllocPages(gfp);
        return new Workload(turns => run(cpu, page, turns), 1, machine);
    }
}
