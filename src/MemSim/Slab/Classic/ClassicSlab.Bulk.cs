using System.Runtime.CompilerServices;

namespace MemSim.Slab;

/// <content>Several objects at a time: from and to a CPU's array.</content>
internal sealed partial class ClassicSlab
{
    [MethodImpl(MethodImplOptions.NoInlining)]
    public override int AllocBulk(Cpu cpu, KmemCache cache, Gfp gfp, Span<VirtualAddress> objects)
    {
        ArrayCache array = cache.Cpus[cpu.Id].Array;
        if (array.IsNull)
        {
            return base.AllocBulk(cpu, cache, gfp, objects);
        }

        int got = 0;
        while (got < objects.Length)
        {
            int count = Math.Min(array.Avail, objects.Length - got);
            if (count != 0)
            {
                array.PopMany(objects.Slice(got, count));
                got += count;
                continue;
            }

            ulong address = Alloc(cpu, cache, gfp, -1);
            if (address == 0)
            {
                break;
            }

            objects[got++] = new VirtualAddress(address);
        }

        return got;
    }

    /// <summary>Checks objects straight into the room above the top of the CPU's array; they are in it once all are good.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public override bool TryFreeBulk(Cpu cpu, KmemCache cache, ReadOnlySpan<VirtualAddress> objects)
    {
        ArrayCache array = cache.Cpus[cpu.Id].Array;
        return !array.IsNull && BulkRuns.TryPut(_memory, cache, cpu.Node.Id, objects, array);
    }

    public override void FreeBulk(Cpu cpu, KmemCache cache, Span<VirtualAddress> objects)
    {
        ArrayCache array = cache.Cpus[cpu.Id].Array;
        int node = array.IsNull ? -1 : cpu.Node.Id;
        int head = 0;
        ref SlabPage slab = ref _memory[0];
        foreach (VirtualAddress obj in objects)
        {
            if (!slab.TryIndex(obj.Value, out uint index))
            {
                head = _memory.SlabAt(obj.Value);
                slab = ref _memory[head];
                _ = slab.TryIndex(obj.Value, out index);
            }

            if (slab.ArrayNode == node && array.Avail != array.Limit)
            {
                array.Push(obj.Value, slab.Links.At(index));
            }
            else
            {
                Free(cpu, cache, head, index);
            }
        }
    }
}
