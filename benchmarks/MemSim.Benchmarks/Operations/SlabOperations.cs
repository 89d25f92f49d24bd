using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using MemSim.Benchmarks.Harness;

namespace MemSim.Benchmarks.Operations;

/// <summary>Object allocation: kmalloc, caches, per-CPU memory; on SLUB (subject MemSim) and, named <c>MemSim-slab</c>, on the classic SLAB.</summary>
internal static class SlabOperations
{
    private const int Batch = 1024;
    private const int BulkObjects = 64;
    private const int Live = 100_000;

    public static IReadOnlyList<Operation> Table { get; } =
    [
        new("NativeMemory", "object_pair_256", _ => new Workload(NativePair)),
        new("ArrayPool", "object_pair_256", _ => new Workload(PoolPair)),
        .. Both("object_pair_8", m => Pair(m, 8)),
        .. Both("object_pair_64", m => Pair(m, 64)),
        .. Both("object_pair_256", m => Pair(m, 256)),
        .. Both("object_pair_1024", m => Pair(m, 1024)),
        .. Both("object_pair_8192", m => Pair(m, 8192)),
        .. Both("cache256_pair", CachePair),
        .. Both("cache256_batch1024_fifo", CacheBatch),
        .. Both("cache256_bulk64", CacheBulk),
        .. Both("cache256_producer_consumer", ProducerConsumer),
        .. Both("object256_churn_100k", Churn),
        .. Both("percpu_pair_64", PercpuPair),
    ];

    private static IEnumerable<Operation> Both(string name, Func<Machine, Workload> prepare)
    {
        yield return new Operation("MemSim", name, o => prepare(Boot(o, classic: false))) { HasParallelForm = true };
        yield return new Operation("MemSim-slab", name, o => prepare(Boot(o, classic: true)));
    }

    private static Machine Boot(BenchmarkOptions options, bool classic)
    {
        MachineSpec spec = MachineSpec.X86_64("1G", cpus: 2).WithoutContents();
        spec = classic ? spec.WithCommandLine("slab_allocator=slab") : spec;
        return Machine.Boot(options.Parallel ? spec.WithParallelCpus() : spec);
    }

    private static unsafe void NativePair(int turns)
    {
        for (int i = 0; i < turns; i++)
        {
            NativeMemory.Free(NativeMemory.Alloc(256));
        }
    }

    private static void PoolPair(int turns)
    {
        for (int i = 0; i < turns; i++)
        {
            System.Buffers.ArrayPool<byte>.Shared.Return(System.Buffers.ArrayPool<byte>.Shared.Rent(256));
        }
    }

    private static Workload Pair(Machine machine, long size)
    {
        Cpu cpu = machine.Cpus[0];
        return new Workload(turns => RunPair(cpu, size, turns), 1, machine);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void RunPair(Cpu cpu, long size, int turns)
    {
        for (int i = 0; i < turns; i++)
        {
            cpu.Kfree(cpu.Kmalloc(size, Gfp.Kernel));
        }
    }

    private static Workload CachePair(Machine machine)
    {
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("bench-256", 256);
        return new Workload(turns => RunCachePair(cpu, cache, turns), 1, machine);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void RunCachePair(Cpu cpu, KmemCache cache, int turns)
    {
        for (int i = 0; i < turns; i++)
        {
            cpu.Free(cache, cpu.Alloc(cache, Gfp.Kernel));
        }
    }

    private static Workload CacheBatch(Machine machine)
    {
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("bench-256", 256);
        VirtualAddress[] objects = new VirtualAddress[Batch];
        return new Workload(turns => RunBatch(cpu, cpu, cache, objects, turns), Batch, machine);
    }

    /// <summary>One CPU allocates, the other frees.</summary>
    private static Workload ProducerConsumer(Machine machine)
    {
        KmemCache cache = machine.Slab.CreateCache("bench-256", 256);
        VirtualAddress[] objects = new VirtualAddress[Batch];
        return new Workload(turns => RunBatch(machine.Cpus[0], machine.Cpus[1], cache, objects, turns), Batch, machine);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void RunBatch(Cpu producer, Cpu consumer, KmemCache cache, VirtualAddress[] objects, int turns)
    {
        for (int turn = 0; turn < turns; turn++)
        {
            for (int i = 0; i < objects.Length; i++)
            {
                objects[i] = producer.Alloc(cache, Gfp.Kernel);
            }

            for (int i = 0; i < objects.Length; i++)
            {
                consumer.Free(cache, objects[i]);
            }
        }
    }

    private static Workload CacheBulk(Machine machine)
    {
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("bench-256", 256);
        VirtualAddress[] objects = new VirtualAddress[BulkObjects];
        return new Workload(turns => RunBulk(cpu, cache, objects, turns), BulkObjects, machine);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void RunBulk(Cpu cpu, KmemCache cache, VirtualAddress[] objects, int turns)
    {
        for (int turn = 0; turn < turns; turn++)
        {
            cpu.Slab.AllocBulk(cache, Gfp.Kernel, objects);
            cpu.Slab.FreeBulk(cache, objects);
        }
    }

    private static Workload Churn(Machine machine)
    {
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("bench-256", 256);
        VirtualAddress[] live = new VirtualAddress[Live];
        for (int i = 0; i < live.Length; i++)
        {
            live[i] = cpu.Alloc(cache, Gfp.Kernel);
        }

        return new Workload(turns => RunChurn(cpu, cache, live, turns), 1, machine);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void RunChurn(Cpu cpu, KmemCache cache, VirtualAddress[] live, int turns)
    {
        Xorshift64 random = new();
        for (int i = 0; i < turns; i++)
        {
            ref VirtualAddress victim = ref live[random.Next() % (ulong)live.Length];
            cpu.Free(cache, victim);
            victim = cpu.Alloc(cache, Gfp.Kernel);
        }
    }

    private static Workload PercpuPair(Machine machine)
    {
        Cpu cpu = machine.Cpus[0];
        return new Workload(turns => RunPercpu(cpu, turns), 1, machine);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void RunPercpu(Cpu cpu, int turns)
    {
        for (int i = 0; i < turns; i++)
        {
            cpu.PerCpu.FreePercpu(cpu.PerCpu.AllocPercpu(64, 64));
        }
    }
}
