using System.Runtime.CompilerServices;

namespace MemSim.Slab;

/// <content>Several objects at a time: from and to a CPU's array.</content>
internal sealed unsafe partial class ClassicSlab
{
    [MethodImpl(MethodImplOptions.NoInlining)]
    public override int AllocBulk(Cpu cpu, KmemCache cache, Gfp gfp, Span<VirtualAddress> objects)
    {
        ArrayCache* array = cache.Cpus[cpu.Id].Array;
        if (array == null)
        {
            return base.AllocBulk(cpu, cache, gfp, objects);
        }

        fixed (VirtualAddress* first = objects)
        {
            // An address is its number and nothing else.
            ulong* at = (ulong*)first;
            ulong* end = at + objects.Length;
            for (; ; )
            {
                int count = (int)Math.Min(array->Avail, end - at);
                if (count != 0)
                {
                    ArrayCache.PopMany(array, at, count);
                    at += count;
                }

                if (at == end)
                {
                    break;
                }

                ulong address = Alloc(cpu, cache, gfp, -1);
                if (address == 0)
                {
                    break;
                }

                *at++ = address;
            }

            return (int)(at - (ulong*)first);
        }
    }

    /// <summary>Checks objects straight into the room above the top of the CPU's array; they are in it once all are good.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public override bool TryFreeBulk(Cpu cpu, KmemCache cache, ReadOnlySpan<VirtualAddress> objects)
    {
        ArrayCache* array = cache.Cpus[cpu.Id].Array;
        if (array == null || objects.Length > array->Limit - array->Avail)
        {
            return false;
        }

        ArrayEntry* bottom = ArrayCache.EntriesOf(array) + array->Avail;
        ArrayEntry* entry = bottom;
        int node = cpu.Node.Id;
        ulong start = 0;
        uint bytes = 0;
        uint size = 0;
        uint reciprocal = 0;
        SlabLinks links = default;
        foreach (VirtualAddress obj in objects)
        {
            ulong address = obj.Value;
            ulong offset = address - start;
            if (offset >= bytes)
            {
                int head = _memory.SlabAt(address);
                SlabPage* slab = _memory.Pages + (uint)head;
                start = slab->Base;
                size = slab->Size;
                bytes = slab->Objects * size;
                reciprocal = slab->Reciprocal;
                links = slab->Links;
                offset = address - start;
                if (head == 0 || offset >= bytes || slab->Cache != cache.Id || slab->ArrayNode != node)
                {
                    break;
                }
            }

            uint index = (uint)((offset * reciprocal) >> 32);
            ushort* link = links.At(index);
            if (index * size != (uint)offset || *link != SlabPage.Allocated)
            {
                break;
            }

            *link = SlabPage.End;
            entry->Address = address;
            entry->Link = link;
            entry++;
        }

        int good = (int)(entry - bottom);
        if (good < objects.Length)
        {
            while (entry > bottom)
            {
                *(--entry)->Link = SlabPage.Allocated;
            }

            return false;
        }

        array->Avail += good;
        return true;
    }

    public override void FreeBulk(Cpu cpu, KmemCache cache, Span<VirtualAddress> objects)
    {
        ArrayCache* array = cache.Cpus[cpu.Id].Array;
        int node = array == null ? -1 : cpu.Node.Id;
        int head = 0;
        SlabPage* slab = _memory.Pages;
        foreach (VirtualAddress obj in objects)
        {
            if (!slab->TryIndex(obj.Value, out uint index))
            {
                head = _memory.SlabAt(obj.Value);
                slab = _memory.Pages + (uint)head;
                _ = slab->TryIndex(obj.Value, out index);
            }

            if (slab->ArrayNode == node && array->Avail != array->Limit)
            {
                ArrayCache.Push(array, obj.Value, slab->Links.At(index));
            }
            else
            {
                Free(cpu, cache, head, index);
            }
        }
    }
}
