namespace MemSim.Slab;

/// <summary>The objects in a cache's sheaves at one moment, for snapshots in memory.</summary>
internal sealed unsafe class SheafImage
{
    private readonly Sheaf[] _main;
    private readonly Sheaf?[] _spare;
    private readonly Sheaf?[] _rcuFree;
    private readonly Sheaf[] _waiting;
    private readonly Sheaf[] _lent;
    private readonly Sheaf[][] _full;
    private readonly Sheaf[][] _empty;
    private readonly SheafCounts _counts;

    public SheafImage(KmemCache cache, SheafCache sheaves)
    {
        int cpus = cache.Machine.Cpus.Count;
        _counts = sheaves.Counts;
        _main = new Sheaf[cpus];
        _spare = new Sheaf?[cpus];
        _rcuFree = new Sheaf?[cpus];
        for (int cpu = 0; cpu < cpus; cpu++)
        {
            _main[cpu] = Sheaf.Of(cache.Cpus[cpu].Array, 0);
            _spare[cpu] = sheaves.SpareOf(cpu) == null ? null : Sheaf.Of(sheaves.SpareOf(cpu), 0);
            _rcuFree[cpu] = sheaves.RcuFreeOf(cpu) == null ? null : Sheaf.Of(sheaves.RcuFreeOf(cpu), 0);
        }

        long now = cache.Machine.Clock.Nanoseconds;
        _waiting = [.. sheaves.Waiting.Select(sheaf => Sheaf.Of((ArrayCache*)sheaf, now))];
        _lent = [.. sheaves.Lent.Select(sheaf => Sheaf.Of((ArrayCache*)sheaf, 0))];
        _full = [.. sheaves.Barns.Select(barn => ListOf(barn.FirstFull))];
        _empty = [.. sheaves.Barns.Select(barn => ListOf(barn.FirstEmpty))];
    }

    /// <summary>Gives another machine's cache, whose sheaves are empty and whose slabs are in the image's state, these objects. Objects in sheaves that were lent are allocated ones there: nobody has the sheaf.</summary>
    public void Restore(KmemCache cache, SlabMemory memory)
    {
        SheafCache sheaves = (SheafCache)cache.BackendState!;
        sheaves.Counts = _counts;
        for (int cpu = 0; cpu < _main.Length; cpu++)
        {
            cache.Cpus[cpu].Array->Home = _main[cpu].Home;
            _ = Fill(cache.Cpus[cpu].Array, _main[cpu], memory);
            sheaves.SpareOf(cpu) = _spare[cpu] is { } spare ? Made(spare) : null;
            sheaves.RcuFreeOf(cpu) = _rcuFree[cpu] is { } gathering ? Made(gathering) : null;
        }

        foreach (Sheaf waiting in _waiting)
        {
            ArrayCache* sheaf = Made(waiting);
            sheaf->Due = cache.Machine.Clock.Nanoseconds + waiting.Left;
            sheaf->Node = waiting.Node;
            sheaves.List(sheaves.Waiting, sheaf);
            cache.Allocator.Rcu.Note(cache);
        }

        foreach (ulong address in _lent.SelectMany(lent => lent.Objects))
        {
            ref SlabPage slab = ref memory[memory.SlabAt(address)];
            _ = slab.TryIndex(address, out uint index);
            slab.Links[index] = SlabPage.Allocated;
        }

        for (int node = 0; node < _full.Length; node++)
        {
            foreach (Sheaf full in _full[node])
            {
                sheaves.Barns[node].PutFull(Made(full));
            }

            foreach (Sheaf empty in _empty[node])
            {
                sheaves.Barns[node].PutEmpty(Made(empty));
            }
        }

        ArrayCache* Made(Sheaf sheaf) => Fill(sheaves.Place(sheaf.Home, cache.SheafCapacity), sheaf, memory);
    }

    /// <summary>The sheaves of a list; put in again in this order, the last becomes the first.</summary>
    private static Sheaf[] ListOf(ArrayCache* first)
    {
        List<Sheaf> list = [];
        for (ArrayCache* sheaf = first; sheaf != null; sheaf = sheaf->Next)
        {
            list.Add(Sheaf.Of(sheaf, 0));
        }

        list.Reverse();
        return [.. list];
    }

    private static ArrayCache* Fill(ArrayCache* sheaf, Sheaf image, SlabMemory memory)
    {
        foreach (ulong address in image.Objects)
        {
            ref SlabPage slab = ref memory[memory.SlabAt(address)];
            _ = slab.TryIndex(address, out uint index);
            ArrayCache.Push(sheaf, address, slab.Links.At(index));
        }

        return sheaf;
    }

    private sealed record Sheaf(ulong Home, ulong[] Objects, long Left, int Node)
    {
        public static Sheaf Of(ArrayCache* sheaf, long now)
        {
            ulong[] objects = new ulong[sheaf->Avail];
            for (int i = 0; i < objects.Length; i++)
            {
                objects[i] = ArrayCache.EntriesOf(sheaf)[i].Address;
            }

            return new Sheaf(sheaf->Home, objects, sheaf->Due - now, sheaf->Node);
        }
    }
}
