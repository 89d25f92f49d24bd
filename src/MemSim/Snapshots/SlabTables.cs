using System.Runtime.InteropServices;
using MemSim.Hardware;
using MemSim.Slab;

namespace MemSim.Snapshots;

/// <summary>The slab layer's tables in host memory: slabs, CPUs' states of caches, arrays and sheaves of free objects.</summary>
/// <remarks>
/// Addresses of the host do not leave it: a slab's links are written out, an object in an array by its address in the machine, and what follows from a slab is computed anew. From a file
/// nothing is believed that fast paths do not look at again: numbers of objects and slabs are compared with how many there are.
/// </remarks>
internal sealed class SlabTables(StateCursor from, HostMemory host)
{
    private readonly List<int> _heads = [];

    /// <summary>Writes a machine's tables down.</summary>
    public static void Write(Machine machine, IReadOnlyList<KmemCache> caches, IReadOnlyList<SlabSheaf> lent, StateBytes to)
    {
        SlabMemory memory = machine.Slab.Memory;
        for (int head = 1; head < (long)memory.Frames; head++)
        {
            if (memory.HeadOf(head) == head)
            {
                WriteSlab(head, memory[head], to);
                head += (1 << memory[head].Order) - 1;
            }
        }

        to.Number(0);
        int cpus = machine.Cpus.Count;
        foreach (KmemCache cache in caches)
        {
            to.Byte(cache.Cpus == cache.CurrentSlabs ? (byte)0 : (byte)1);
            for (int cpu = 0; cpu < cpus; cpu++)
            {
                WriteCpu(cache.Cpus[cpu], to);
                if (cache.Cpus != cache.CurrentSlabs)
                {
                    WriteCpu(cache.CurrentSlabs[cpu], to);
                }

                WriteArray(cache.Cpus[cpu].Array, to);
            }

            switch (cache.BackendState)
            {
                case SheafCache sheaves:
                    Write(sheaves, lent, cpus, to);
                    break;
                case ClassicCache classic:
                    Write(classic, to);
                    break;
            }
        }
    }

    /// <summary>Fills a machine's tables, which are empty.</summary>
    public void Fill(Machine machine, IReadOnlyList<KmemCache> caches, IReadOnlyList<SlabSheaf> lent)
    {
        SlabAllocator slab = machine.Slab;
        SlabMemory memory = slab.Memory;
        if (memory.Frames != (ulong)machine.Frames.Count || memory.FrameZero != machine.Addresses.AddressOf(0).Value)
        {
            throw new FormatException("the slab layer's tables are those of another machine");
        }

        memory.Reopen(host);
        slab.ReopenTables();
        foreach (KmemCache cache in caches)
        {
            cache.Reopen();
        }

        for (int head = from.Count(machine.Frames.Count - 1, "frames"); head != 0; head = from.Count(machine.Frames.Count - 1, "frames"))
        {
            ReadSlab(slab, head);
        }

        CheckLists(caches, memory);

        foreach (KmemCache cache in caches)
        {
            if (from.Byte() != 0)
            {
                cache.CurrentSlabs = cache.TakeCpuSlabs();
            }

            for (int cpu = 0; cpu < machine.Cpus.Count; cpu++)
            {
                ReadCpu(ref cache.Cpus[cpu], memory);
                if (cache.Cpus != cache.CurrentSlabs)
                {
                    ReadCpu(ref cache.CurrentSlabs[cpu], memory);
                }

                cache.Cpus[cpu].Array = ReadArray(cache, memory);
            }

            switch (cache.BackendState)
            {
                case SheafCache sheaves:
                    Read(sheaves, lent, cache, memory, machine.Cpus.Count);
                    break;
                case ClassicCache classic:
                    Read(classic, cache, memory);
                    break;
            }
        }

        if (lent.FirstOrDefault(sheaf => !sheaf.IsReturned && sheaf.Sheaf.IsNull && (sheaf.Cache.BackendState is SheafCache || sheaf.Count != sheaf.Objects.Count)) is { } lost)
        {
            throw new FormatException($"a sheaf of {lost.Count} objects of the cache {lost.Cache.Name} is lent, but none of it is there");
        }

        foreach (Cpu cpu in machine.Cpus)
        {
            cpu.SlabPaths.Attach(cpu, slab);
        }
    }

    private static void WriteSlab(int head, in SlabPage slab, StateBytes to)
    {
        to.Number(head);
        to.Number(slab.Order);
        to.Number(slab.Objects);
        to.Number(slab.Cache);
        to.Number((long)slab.Base);
        to.Number(slab.Size);
        to.Number(slab.Next);
        to.Number(slab.Prev);
        to.Number(slab.FreeHead);
        to.Number(slab.InUse);
        to.Number(slab.State);
        to.Number(slab.Count);
        to.Number(slab.Node);
        to.Number(slab.Listed);
        to.Number(slab.ArrayNode);
        ReadOnlySpan<ushort> links = slab.Links.All(slab.Objects);
        MemoryMarshal.AsBytes(links).CopyTo(to.Take(links.Length * sizeof(ushort)));
    }

    private void ReadSlab(SlabAllocator slabs, int head)
    {
        SlabMemory memory = slabs.Memory;
        int order = from.Count(PageGeometry.MaxOrder, "as order of a slab");
        int objects = from.Count(SlabPage.Leaving - 1, "objects of a slab");
        int cache = from.Count(int.MaxValue, "as number of a cache");
        ulong start = (ulong)from.Number();
        int size = from.Count(int.MaxValue, "bytes of an object");
        ulong block = memory.FrameZero + ((ulong)head << PageGeometry.PageShift);
        ulong bytes = (ulong)PageGeometry.PageSize << order;
        if (objects == 0 || size == 0 || (ulong)head + (1UL << order) > memory.Frames || !slabs.IsCache(cache) || start < block || start - block > bytes || ((ulong)objects - 1) * (uint)size >= bytes - (start - block))
        {
            throw new FormatException($"the slab at frame 0x{head:x} ({objects} objects of {size} bytes, order {order}, cache {cache}) cannot be");
        }

        for (int frame = head; frame < head + (1 << order); frame++)
        {
            if (memory.HeadOf(frame) != 0)
            {
                throw new FormatException($"the slabs at frames 0x{memory.HeadOf(frame):x} and 0x{head:x} overlap");
            }
        }

        ref SlabPage slab = ref memory[head];
        slab.Order = (byte)order;
        slab.Objects = (ushort)objects;
        slab.BelongTo(slabs.CacheOf(cache));
        slab.Base = start;
        slab.Size = (uint)size;
        slab.Reciprocal = SlabPage.ReciprocalOf((uint)size);
        slab.Next = from.Count((int)memory.Frames - 1, "as next slab");
        slab.Prev = from.Count((int)memory.Frames - 1, "as previous slab");
        slab.FreeHead = (ushort)Object(from.Count(ushort.MaxValue, "as first free object"), objects);
        slab.InUse = (ushort)from.Count(objects, "objects in use");
        slab.State = (byte)from.Count(byte.MaxValue, "as state of a slab");
        slab.Count = (ushort)from.Count(ushort.MaxValue, "slabs in a list");
        slab.Node = (ushort)Node(slabs.Machine, from.Count(ushort.MaxValue, "as node of a slab"));
        slab.Listed = (byte)from.Count(1, "as mark of a list");
        slab.ArrayNode = (ushort)from.Count(ushort.MaxValue, "as node of an array");
        if (slab.ArrayNode != SlabPage.NoNode)
        {
            _ = Node(slabs.Machine, slab.ArrayNode);
        }

        slab.Links = memory.TakeLinks(head, objects);
        Span<ushort> links = slab.Links.All(objects);
        from.Take(links.Length * sizeof(ushort)).CopyTo(MemoryMarshal.AsBytes(links));
        foreach (ushort link in links)
        {
            _ = link >= SlabPage.Leaving ? 0 : Object(link, objects);
        }

        memory.SetHeads(head, order, head);
        _heads.Add(head);
    }

    private static int Object(int number, int objects) =>
        number < objects || number == SlabPage.End ? number : throw new FormatException($"a slab of {objects} objects has none of number {number}");

    private static int Node(Machine machine, int node) => machine.ZoneTable.NodeOrDefault(node) is not null ? node : throw new FormatException($"a slab lies on node {node}, which the machine has not");

    private static int Slab(SlabMemory memory, int head) =>
        head == 0 || (uint)head < memory.Frames && memory.HeadOf(head) == head ? head : throw new FormatException($"a list of slabs leads to frame 0x{head:x}, where none begins");

    private static void Check(SlabMemory memory, in SlabList list)
    {
        _ = Slab(memory, list.First);
        _ = Slab(memory, list.Last);
    }

    private void CheckLists(IReadOnlyList<KmemCache> caches, SlabMemory memory)
    {
        foreach (int head in _heads)
        {
            _ = Slab(memory, memory[head].Next);
            _ = Slab(memory, memory[head].Prev);
        }

        foreach (KmemCache cache in caches)
        {
            foreach (SlubNode node in cache.Nodes)
            {
                Check(memory, node.Partial);
                Check(memory, node.Full);
            }

            foreach (ClassicNode? node in (cache.BackendState as ClassicCache)?.Nodes ?? [])
            {
                if (node is not null)
                {
                    Check(memory, node.Full);
                    Check(memory, node.Partial);
                    Check(memory, node.Free);
                }
            }
        }
    }

    private static void WriteCpu(in CpuSlab cpu, StateBytes to)
    {
        to.Number(cpu.Slab);
        to.Number(cpu.Partial);
        to.Number(cpu.FreeHead);
    }

    private void ReadCpu(ref CpuSlab cpu, SlabMemory memory)
    {
        cpu.Slab = Slab(memory, from.Count((int)memory.Frames - 1, "as current slab"));
        cpu.Partial = Slab(memory, from.Count((int)memory.Frames - 1, "as partial slab"));
        int free = from.Count(ushort.MaxValue, "as first free object");
        if (cpu.Slab == 0)
        {
            cpu.FreeHead = free == SlabPage.End ? SlabPage.End : throw new FormatException("a CPU without a current slab has free objects of it");
            return;
        }

        ref SlabPage slab = ref memory[cpu.Slab];
        cpu.FreeHead = (uint)Object(free, slab.Objects);
        cpu.Base = slab.Base;
        cpu.Links = slab.Links;
        cpu.Bytes = slab.Objects * slab.Size;
        cpu.Size = slab.Size;
        cpu.Reciprocal = slab.Reciprocal;
    }

    private static void WriteArray(ArrayCache array, StateBytes to)
    {
        if (array.IsNull)
        {
            to.Number(0);
            return;
        }

        to.Number(array.Limit + 1L);
        to.Number(array.BatchCount);
        to.Number(array.Touched);
        to.Number((long)array.Home);
        to.Number(array.Due);
        to.Number(array.Node);
        to.Number(array.Avail);
        foreach (ArrayEntry entry in array.Entries)
        {
            to.Number((long)entry.Address);
        }
    }

    private ArrayCache ReadArray(KmemCache cache, SlabMemory memory)
    {
        const int most = 1 << 20;
        int limit = from.Count(most, "as size of an array") - 1;
        if (limit < 0)
        {
            return default;
        }

        int batch = from.Count(most, "as batch");
        int touched = from.Count(1, "as mark of an array");
        ulong home = (ulong)from.Number();
        long due = from.Number();
        int node = from.Count(ushort.MaxValue, "as node of a sheaf");
        ArrayCache array = cache.BackendState switch
        {
            SheafCache sheaves => sheaves.Place(home, limit),
            ClassicCache classic => classic.Make(limit, batch),
            _ => throw new FormatException($"an array of {limit} objects does not belong to the cache {cache.Name}"),
        };
        array.Due = due;
        array.Node = node;
        int avail = from.Count(limit, "objects in an array");
        for (int i = 0; i < avail; i++)
        {
            ulong address = (ulong)from.Number();
            int head = memory.SlabAt(address);
            if (head == 0 || !memory[head].TryIndex(address, out uint index))
            {
                throw new FormatException($"an array of the cache {cache.Name} has 0x{address:x}, where no object is");
            }

            array.Push(address, memory[head].Links.At(index));
        }

        array.Touched = touched;
        return array;
    }

    private static void Write(SheafCache sheaves, IReadOnlyList<SlabSheaf> lent, int cpus, StateBytes to)
    {
        for (int cpu = 0; cpu < cpus; cpu++)
        {
            WriteArray(sheaves.SpareOf(cpu), to);
            WriteArray(sheaves.RcuFreeOf(cpu), to);
        }

        Write(sheaves.Waiting, to);
        Write(sheaves.Lent, to);
        foreach (ArrayCache sheaf in sheaves.Lent)
        {
            // By whom: the number of the object that the user has, 0 where a copy has none.
            int number = 0;
            for (int i = 0; i < lent.Count && number == 0; i++)
            {
                number = !lent[i].IsReturned && lent[i].Sheaf == sheaf ? i + 1 : 0;
            }

            to.Number(number);
        }

        foreach (SheafBarn barn in sheaves.Barns)
        {
            Write(ListOf(barn.FirstFull), to);
            Write(ListOf(barn.FirstEmpty), to);
        }
    }

    private static void Write(IReadOnlyCollection<ArrayCache> sheaves, StateBytes to)
    {
        to.Number(sheaves.Count);
        foreach (ArrayCache sheaf in sheaves)
        {
            WriteArray(sheaf, to);
        }
    }

    /// <summary>The sheaves of a barn's list: put in again in this order, the last becomes the first.</summary>
    private static Stack<ArrayCache> ListOf(ArrayCache first)
    {
        Stack<ArrayCache> list = [];
        for (ArrayCache sheaf = first; !sheaf.IsNull; sheaf = sheaf.Next)
        {
            list.Push(sheaf);
        }

        return list;
    }

    private void Read(SheafCache sheaves, IReadOnlyList<SlabSheaf> lent, KmemCache cache, SlabMemory memory, int cpus)
    {
        for (int cpu = 0; cpu < cpus; cpu++)
        {
            sheaves.SpareOf(cpu) = ReadArray(cache, memory);
            sheaves.RcuFreeOf(cpu) = ReadArray(cache, memory);
        }

        for (int left = from.Count(int.MaxValue, "waiting sheaves"); left > 0; left--)
        {
            sheaves.List(sheaves.Waiting, Needed(ReadArray(cache, memory)));
        }

        List<ArrayCache> given = [];
        for (int left = from.Count(int.MaxValue, "lent sheaves"); left > 0; left--)
        {
            given.Add(Needed(ReadArray(cache, memory)));
        }

        foreach (ArrayCache sheaf in given)
        {
            Lend(sheaves, lent, from.Count(lent.Count, "lent sheaves"), cache, sheaf);
        }

        foreach (SheafBarn barn in sheaves.Barns)
        {
            barn.Reopen();
            for (int left = from.Count(int.MaxValue, "full sheaves"); left > 0; left--)
            {
                barn.PutFull(Needed(ReadArray(cache, memory)));
            }

            for (int left = from.Count(int.MaxValue, "empty sheaves"); left > 0; left--)
            {
                barn.PutEmpty(Needed(ReadArray(cache, memory)));
            }
        }
    }

    /// <summary>Gives a sheaf to whom it was lent. Where nobody has it in a copy, its objects are allocated ones.</summary>
    private static void Lend(SheafCache sheaves, IReadOnlyList<SlabSheaf> lent, int number, KmemCache cache, ArrayCache sheaf)
    {
        if (number == 0)
        {
            while (sheaf.Avail != 0)
            {
                _ = sheaf.Pop();
            }

            return;
        }

        SlabSheaf held = lent[number - 1];
        if (held.Cache != cache || held.IsReturned || !held.Sheaf.IsNull || held.Count != sheaf.Avail)
        {
            throw new FormatException($"sheaf {number} is lent twice, or is not one of {sheaf.Avail} objects of the cache {cache.Name}");
        }

        held.Sheaf = sheaf;
        sheaves.List(sheaves.Lent, sheaf);
    }

    private static ArrayCache Needed(ArrayCache sheaf) => !sheaf.IsNull ? sheaf : throw new FormatException("a list has no sheaf where one should be");

    private static void Write(ClassicCache classic, StateBytes to)
    {
        foreach (ClassicNode? node in classic.Nodes)
        {
            if (node is not null)
            {
                WriteArray(node.Shared, to);
                foreach (ArrayCache alien in node.Aliens)
                {
                    WriteArray(alien, to);
                }
            }
        }
    }

    private void Read(ClassicCache classic, KmemCache cache, SlabMemory memory)
    {
        foreach (ClassicNode? node in classic.Nodes)
        {
            if (node is not null)
            {
                node.Shared = ReadArray(cache, memory);
                for (int i = 0; i < node.Aliens.Length; i++)
                {
                    node.Aliens[i] = ReadArray(cache, memory);
                }
            }
        }
    }
}
