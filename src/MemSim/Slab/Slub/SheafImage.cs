namespace MemSim.Slab;

/// <summary>The objects in a cache's sheaves at one moment, for snapshots in memory.</summary>
internal sealed unsafe class SheafImage
{
    private readonly ulong[][] _main;
    private readonly ulong[]?[] _spare;
    private readonly ulong[][][] _full;
    private readonly int[] _empty;
    private readonly SheafCounts _counts;

    public SheafImage(KmemCache cache, SheafCache sheaves)
    {
        int cpus = cache.Machine.Cpus.Count;
        _counts = sheaves.Counts;
        _main = new ulong[cpus][];
        _spare = new ulong[cpus][];
        for (int cpu = 0; cpu < cpus; cpu++)
        {
            _main[cpu] = ObjectsOf(cache.Cpus[cpu].Array);
            _spare[cpu] = sheaves.SpareOf(cpu) == null ? null : ObjectsOf(sheaves.SpareOf(cpu));
        }

        _full = new ulong[sheaves.Barns.Length][][];
        _empty = new int[sheaves.Barns.Length];
        for (int node = 0; node < _full.Length; node++)
        {
            List<ulong[]> full = [];
            for (ArrayCache* sheaf = sheaves.Barns[node].FirstFull; sheaf != null; sheaf = sheaf->Next)
            {
                full.Add(ObjectsOf(sheaf));
            }

            // Put in again in this order, the last becomes the first.
            full.Reverse();
            _full[node] = [.. full];
            _empty[node] = sheaves.Barns[node].EmptyCount;
        }
    }

    /// <summary>Gives another machine's cache, whose sheaves are empty and whose slabs are in the image's state, these objects.</summary>
    public void Restore(KmemCache cache, SlabMemory memory)
    {
        SheafCache sheaves = (SheafCache)cache.BackendState!;
        sheaves.Counts = _counts;
        for (int cpu = 0; cpu < _main.Length; cpu++)
        {
            Fill(cache.Cpus[cpu].Array, _main[cpu], memory);
            if (_spare[cpu] is { } spare)
            {
                sheaves.SpareOf(cpu) = Fill(sheaves.TakeEmpty(), spare, memory);
            }
        }

        for (int node = 0; node < _full.Length; node++)
        {
            foreach (ulong[] full in _full[node])
            {
                sheaves.Barns[node].PutFull(Fill(sheaves.TakeEmpty(), full, memory));
            }

            for (int i = 0; i < _empty[node]; i++)
            {
                sheaves.Barns[node].PutEmpty(sheaves.TakeEmpty());
            }
        }
    }

    private static ulong[] ObjectsOf(ArrayCache* sheaf)
    {
        ulong[] objects = new ulong[sheaf->Avail];
        for (int i = 0; i < objects.Length; i++)
        {
            objects[i] = ArrayCache.EntriesOf(sheaf)[i].Address;
        }

        return objects;
    }

    private static ArrayCache* Fill(ArrayCache* sheaf, ulong[] objects, SlabMemory memory)
    {
        foreach (ulong address in objects)
        {
            ref SlabPage slab = ref memory[memory.SlabAt(address)];
            _ = slab.TryIndex(address, out uint index);
            ArrayCache.Push(sheaf, address, slab.Links.At(index));
        }

        return sheaf;
    }
}
