using MemSim.Hardware;

namespace MemSim.Slab;

/// <summary>The tables a CPU's fast paths look things up in: size to class, class to this CPU's state of the normal kmalloc cache.</summary>
internal sealed class SlabCpuTables
{
    // Keeps what the tables lie in.
    private readonly HostRange _memory;

    public SlabCpuTables(SlabAllocator slab, Cpu cpu)
    {
        const int classes = SlabAllocator.KmallocClasses + 1;
        long bytes = classes * sizeof(ulong);
        _memory = HostRange.Take(bytes + slab.KmallocIndex.Length, HostMemory.Allocated, "a table of size classes");
        Nothing = slab.Nothing;
        Kmalloc = _memory.Table<CpuSlabs>(0, classes);
        KmallocIndex = _memory.Table<byte>(bytes, slab.KmallocIndex.Length);
        slab.KmallocIndex.CopyTo(KmallocIndex.Slice(0, slab.KmallocIndex.Length));

        // Size 0 has a class of its own that never holds memory.
        KmallocIndex[0U] = SlabAllocator.KmallocClasses;
        Kmalloc[(uint)SlabAllocator.KmallocClasses] = Nothing;
        ReadOnlySpan<KmemCache?> caches = slab.KmallocCaches(0);
        for (int i = 0; i < caches.Length; i++)
        {
            Kmalloc[(uint)i] = caches[i] is { } cache ? cache.Cpus.From(cpu.Id) : Nothing;
        }
    }

    /// <summary>The state of no cache: no slab, no free object.</summary>
    public CpuSlabs Nothing { get; }

    public HostTable<CpuSlabs> Kmalloc { get; }

    public HostTable<byte> KmallocIndex { get; }
}
