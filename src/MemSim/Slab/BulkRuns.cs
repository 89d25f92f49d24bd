using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace MemSim.Slab;

/// <summary>The runs of bulk calls: a CPU's free list handed out, addresses linked to lists, one a slab, or checked into the room of an array.</summary>
/// <remarks>
/// Walks addresses and words of links by place, because a bound looked at for each object costs as much as the object. In range by construction: addresses are walked between the ends of the
/// caller's span, whose first and last place stand in the loop's condition; a word is that of an object's number, which is either a link (<see cref="SlabLinks"/>) or was computed of an offset
/// below the bytes of the slab's objects, and the number after it is only read as the link says that it is the next one. Of an array's room no more is written than the caller found there.
/// </remarks>
internal static unsafe class BulkRuns
{
    /// <summary>How many lists a bulk free makes at most before it goes the careful way: of what lies about in many slabs.</summary>
    public const int MostChains = 32;

    /// <summary>Hands out the CPU's own free list, or as much of it as there is room for.</summary>
    /// <returns>How many objects.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int TakeFreelist(ref CpuSlab c, Span<VirtualAddress> to)
    {
        uint free = c.FreeHead;
        ulong start = c.Base;
        SlabLinks links = c.Links;
        uint size = c.Size;
        fixed (VirtualAddress* first = to)
        {
            // An address is its number and nothing else.
            ulong* at = (ulong*)first;
            ulong* end = at + to.Length;
            while (free != SlabPage.End && at < end)
            {
                ulong address = start + (free * size);
                ushort* link = links.From(free);
                for (; ; )
                {
                    *at++ = address;
                    uint next = *link;
                    *link = SlabPage.Allocated;

                    // Neighbours mostly follow one another; a host that foresees this branch need not wait for the link.
                    if (next != free + 1 || at == end)
                    {
                        free = next;
                        break;
                    }

                    free++;
                    link++;
                    address += size;
                }
            }

            Debug.Assert(free == SlabPage.End || free * size < c.Bytes, "what heads the list is an object of the slab");
            c.FreeHead = free;
            return (int)(at - (ulong*)first);
        }
    }

    /// <summary>Links addresses to lists, one a slab, from the last to the first.</summary>
    /// <param name="memory">The slabs.</param>
    /// <param name="cache">The cache whose objects they must be.</param>
    /// <param name="objects">The addresses.</param>
    /// <param name="chains">Receives the lists.</param>
    /// <returns>How many lists; -1 when an object is amiss, or when more of a slab's may follow after others: then all are allocated ones again.</returns>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static int LinkAll(SlabMemory memory, KmemCache cache, ReadOnlySpan<VirtualAddress> objects, Span<Chain> chains)
    {
        fixed (VirtualAddress* first = objects)
        {
            ulong* from = (ulong*)first;
            ulong* end = from + objects.Length;
            ulong* at = end;
            int made = 0;
            for (; at > from; made++)
            {
                int head = memory.SlabAt(at[-1]);
                ref SlabPage slab = ref memory[head];
                if (head == 0 || slab.Cache != cache.Id || made == chains.Length)
                {
                    break;
                }

                ref Chain chain = ref chains[made];
                ulong* start = LinkRun(ref slab, from, at - 1, ref chain);
                if (start == at)
                {
                    break;
                }

                chain.Head = head;
                chain.Count = (int)((uint)((byte*)at - (byte*)start) / sizeof(ulong));
                at = start;

                // The kernel passes over objects of other slabs to find more of this one: that order is the careful way's business.
                uint bytes = slab.Objects * slab.Size;
                if (at - 1 > from && (at[-2] - slab.Base < bytes || (at - 2 > from && at[-3] - slab.Base < bytes)))
                {
                    break;
                }
            }

            if (at == from)
            {
                return made;
            }

            TakeBack(memory, objects[(int)(at - from)..]);
            return -1;
        }
    }

    /// <summary>Links the objects of one slab at the end of a list of addresses.</summary>
    /// <param name="slab">The slab of the last address.</param>
    /// <param name="from">The first address.</param>
    /// <param name="at">The last address.</param>
    /// <param name="chain">Receives the list's ends.</param>
    /// <returns>The first address that was linked: before it is another slab's, or one that is amiss; behind the last address when none was.</returns>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static ulong* LinkRun(ref SlabPage slab, ulong* from, ulong* at, ref Chain chain)
    {
        SlabLinks links = slab.Links;
        ulong start = slab.Base;
        ulong size = slab.Size;
        ulong bytes = slab.Objects * size;
        ulong reciprocal = slab.Reciprocal;
        ulong offset = *at - start;
        chain.Last = (ushort)((offset * reciprocal) >> 32);
        ulong next = SlabPage.End;
        while (offset < bytes)
        {
            ulong index = (offset * reciprocal) >> 32;
            if (index * size != offset)
            {
                break;
            }

            ushort* link = links.From(index);
            if (*link != SlabPage.Allocated)
            {
                break;
            }

            *link = (ushort)next;
            next = index;
            at--;
            if (at < from)
            {
                break;
            }

            offset = *at - start;
        }

        chain.First = (ushort)next;
        return at + 1;
    }

    /// <summary>Checks objects into the room above the top of an array; they are in it once all are good.</summary>
    /// <param name="memory">The slabs.</param>
    /// <param name="cache">The cache whose objects they must be.</param>
    /// <param name="node">The node whose objects the array takes.</param>
    /// <param name="objects">The addresses.</param>
    /// <param name="array">The array.</param>
    /// <returns>Whether there was room and all are good; else all are allocated ones again.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool TryPut(SlabMemory memory, KmemCache cache, int node, ReadOnlySpan<VirtualAddress> objects, ArrayCache array)
    {
        if (objects.Length > array.Limit - array.Avail)
        {
            return false;
        }

        ArrayEntry* bottom = array.Top;
        ArrayEntry* entry = bottom;
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
                int head = memory.SlabAt(address);
                ref SlabPage slab = ref memory[head];
                start = slab.Base;
                size = slab.Size;
                bytes = slab.Objects * size;
                reciprocal = slab.Reciprocal;
                links = slab.Links;
                offset = address - start;
                if (head == 0 || offset >= bytes || slab.Cache != cache.Id || slab.ArrayNode != node)
                {
                    break;
                }
            }

            uint index = (uint)((offset * reciprocal) >> 32);
            if (index * size != (uint)offset)
            {
                break;
            }

            SlabLink link = links.At(index);
            if (link.State != SlabPage.Allocated)
            {
                break;
            }

            link.State = SlabPage.End;
            entry->Address = address;
            entry->Link = link;
            entry++;
        }

        int good = (int)(entry - bottom);
        if (good < objects.Length)
        {
            while (entry > bottom)
            {
                (--entry)->Link.State = SlabPage.Allocated;
            }

            return false;
        }

        Debug.Assert(good <= array.Limit - array.Avail, "no more than there is room for");
        array.Avail += good;
        return true;
    }

    /// <summary>Makes linked objects allocated ones again.</summary>
    private static void TakeBack(SlabMemory memory, ReadOnlySpan<VirtualAddress> objects)
    {
        foreach (VirtualAddress obj in objects)
        {
            ref SlabPage slab = ref memory[memory.SlabAt(obj.Value)];
            _ = slab.TryIndex(obj.Value, out uint index);
            slab.Links[index] = SlabPage.Allocated;
        }
    }

    /// <summary>Objects of one slab that were linked to one another.</summary>
    public struct Chain
    {
        public int Head;

        public int Count;

        public ushort First;

        public ushort Last;
    }

    /// <summary>Room for the lists of one call, on the stack of who makes it.</summary>
    [InlineArray(MostChains)]
    public struct ChainBuffer
    {
        private Chain _first;
    }
}
