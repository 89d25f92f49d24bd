using System.Runtime.InteropServices;

namespace MemSim.Slab;

/// <summary>The tables a CPU's fast paths look things up in: size to class, class to this CPU's state of the normal kmalloc cache.</summary>
internal sealed unsafe class SlabCpuTables
{
    private readonly void* _memory;

    public SlabCpuTables(SlabAllocator slab, Cpu cpu)
    {
        const int pointers = SlabAllocator.KmallocClasses + 1;
        _memory = NativeMemory.AllocZeroed((nuint)((pointers * sizeof(CpuSlab*)) + slab.KmallocIndex.Length));
        Nothing = slab.Nothing;
        Kmalloc = (CpuSlab**)_memory;
        KmallocIndex = (byte*)(Kmalloc + pointers);
        slab.KmallocIndex.CopyTo(new Span<byte>(KmallocIndex, slab.KmallocIndex.Length));

        // Size 0 has a class of its own that never holds memory.
        KmallocIndex[0] = SlabAllocator.KmallocClasses;
        Kmalloc[SlabAllocator.KmallocClasses] = Nothing;
        ReadOnlySpan<KmemCache?> caches = slab.KmallocCaches(0);
        for (int i = 0; i < caches.Length; i++)
        {
            Kmalloc[i] = caches[i] is { } cache ? cache.Cpus + cpu.Id : Nothing;
        }
    }

    ~SlabCpuTables() => NativeMemory.Free(_memory);

    /// <summary>The state of no cache: no slab, no free object.</summary>
    public CpuSlab* Nothing { get; }

    public CpuSlab** Kmalloc { get; }

    public byte* KmallocIndex { get; }
}
