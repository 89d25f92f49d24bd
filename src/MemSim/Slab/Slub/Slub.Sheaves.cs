using System.Runtime.CompilerServices;

namespace MemSim.Slab;

/// <content>Sheaves: allocation from and free to a CPU's arrays of objects, which are exchanged with the node's barn, filled from slabs and emptied to them.</content>
/// <remarks>
/// Kernel 6.18 and later: <c>alloc_from_pcs()</c>, <c>__pcs_replace_empty_main()</c>, <c>free_to_pcs()</c>, <c>__pcs_replace_full_main()</c>, <c>refill_sheaf()</c>.
/// In 6.18 the caches that asked for them have sheaves, and current slabs of CPUs behind them; from 7.0 on all have sheaves and no CPU has a current slab.
/// An object in a sheaf has the link <see cref="SlabPage.End"/>.
/// </remarks>
internal sealed unsafe partial class Slub
{
    /// <summary>So many addresses are kept on the host's stack at a time.</summary>
    private const int SheafPortion = 64;

    private readonly bool _hasCpuSlabs;
    private readonly SheafMemory _homes;

    /// <summary>Takes an object of the CPU's sheaves.</summary>
    /// <returns>Its address; 0 when the slabs have to be asked.</returns>
    private ulong TakeFromSheaves(Cpu cpu, KmemCache cache, SheafCache sheaves, Gfp gfp, int node)
    {
        // Sheaves hold objects of the CPU's own node, or nearly so.
        CpuSlab* c = cache.Cpus + cpu.Id;
        if ((node >= 0 && node != cpu.Node.Id) || (c->Array->Avail == 0 && !ReplaceEmptyMain(cpu, cache, sheaves, c, gfp)))
        {
            return 0;
        }

        if (node >= 0 && _memory[_memory.SlabAt((ArrayCache.EntriesOf(c->Array) + c->Array->Avail - 1)->Address)].Node != node)
        {
            return 0;
        }

        return ArrayCache.Pop(c->Array);
    }

    /// <summary>Finds a sheaf with objects for a CPU whose main one is empty: the spare, a full one of the barn, or one filled from slabs.</summary>
    private bool ReplaceEmptyMain(Cpu cpu, KmemCache cache, SheafCache sheaves, CpuSlab* c, Gfp gfp)
    {
        if (TrySwap(sheaves, cpu, c, wantsRoom: false) || TryGetFull(sheaves, cpu, c))
        {
            return true;
        }

        // 6.18 leaves filling to those who may sleep, because it may take long.
        if (_hasCpuSlabs && (gfp & Gfp.DirectReclaim) == 0)
        {
            return false;
        }

        SheafBarn barn = sheaves.Barns[cpu.Node.Id];
        ref ArrayCache* spare = ref sheaves.SpareOf(cpu.Id);
        ArrayCache* filled = spare != null ? spare : barn.TakeEmpty();
        spare = null;
        if (filled == null)
        {
            filled = sheaves.TakeEmpty(cpu, gfp);
            if (filled == null)
            {
                // Reclaim for it may have freed objects into these very sheaves.
                return c->Array->Avail != 0;
            }
        }

        if (!Fill(cpu, cache, sheaves, filled, gfp | Gfp.NoMemAlloc | Gfp.NoWarn))
        {
            FlushSheaf(cpu, cache, sheaves, filled);
            sheaves.GiveEmpty(cpu, filled);
            return c->Array->Avail != 0;
        }

        // The page allocator may have reclaimed meanwhile, and freed objects into these very sheaves.
        if (c->Array->Avail != 0)
        {
            barn.PutFull(filled);
            sheaves.Counted(SheafEvent.BarnPut);
            return true;
        }

        if (spare == null)
        {
            spare = c->Array;
        }
        else
        {
            barn.PutEmpty(c->Array);
        }

        c->Array = filled;
        return true;
    }

    /// <summary>Puts a freed object into the CPU's main sheaf.</summary>
    /// <returns>Whether it went there: of another node's slab, or one from the reserves, it does not.</returns>
    private bool GiveToSheaves(Cpu cpu, KmemCache cache, SheafCache sheaves, int head, uint index)
    {
        ref SlabPage slab = ref _memory[head];
        if (slab.ArrayNode != cpu.Node.Id)
        {
            return false;
        }

        CpuSlab* c = cache.Cpus + cpu.Id;
        if (c->Array->Avail == c->Array->Limit)
        {
            ReplaceFullMain(cpu, cache, sheaves, c);
        }

        ArrayCache.Push(c->Array, slab.AddressOf(index), slab.Links.At(index));
        return true;
    }

    /// <summary>Finds a sheaf with room for a CPU whose main one is full.</summary>
    private void ReplaceFullMain(Cpu cpu, KmemCache cache, SheafCache sheaves, CpuSlab* c)
    {
        if (TryGetRoom(sheaves, cpu, c, out bool tooMany))
        {
            return;
        }

        ArrayCache* empty;
        if (tooMany)
        {
            sheaves.Counted(SheafEvent.BarnPutFail);
            ref ArrayCache* spare = ref sheaves.SpareOf(cpu.Id);
            empty = spare;
            spare = null;
            FlushSheaf(cpu, cache, sheaves, empty);
        }
        else
        {
            empty = sheaves.TakeEmpty(cpu, SheafMemory.NoWait(_machine));
            if (empty == null)
            {
                FlushSheaf(cpu, cache, sheaves, c->Array);
                return;
            }
        }

        Install(cpu, sheaves, c, empty);
    }

    /// <summary>Gives a CPU an empty main sheaf for its full one, if that is still full: where sheaves of the cache are objects of the same cache, having got the empty one made room.</summary>
    private static void Install(Cpu cpu, SheafCache sheaves, CpuSlab* c, ArrayCache* empty)
    {
        SheafBarn barn = sheaves.Barns[cpu.Node.Id];
        ref ArrayCache* spare = ref sheaves.SpareOf(cpu.Id);
        if (spare == null)
        {
            spare = c->Array;
            c->Array = empty;
        }
        else if (c->Array->Avail < c->Array->Limit || TrySwap(sheaves, cpu, c, wantsRoom: true))
        {
            barn.PutEmpty(empty);
        }
        else
        {
            barn.PutFull(c->Array);
            sheaves.Counted(SheafEvent.BarnPut);
            c->Array = empty;
        }
    }

    /// <summary>Exchanges main sheaf and spare, if that brings objects (or room).</summary>
    private static bool TrySwap(SheafCache sheaves, Cpu cpu, CpuSlab* c, bool wantsRoom)
    {
        ref ArrayCache* spare = ref sheaves.SpareOf(cpu.Id);
        if (spare == null || (wantsRoom ? spare->Avail == spare->Limit : spare->Avail == 0))
        {
            return false;
        }

        ArrayCache* main = c->Array;
        c->Array = spare;
        spare = main;
        sheaves.Counted(SheafEvent.Swap);
        return true;
    }

    /// <summary>Gives the barn the empty main sheaf for a full one.</summary>
    private static bool TryGetFull(SheafCache sheaves, Cpu cpu, CpuSlab* c)
    {
        ArrayCache* full = sheaves.Barns[cpu.Node.Id].ReplaceEmpty(c->Array);
        sheaves.Counted(full != null ? SheafEvent.BarnGet : SheafEvent.BarnGetFail);
        if (full != null)
        {
            c->Array = full;
        }

        return full != null;
    }

    /// <summary>Finds a sheaf with room without making or emptying one.</summary>
    private static bool TryGetRoom(SheafCache sheaves, Cpu cpu, CpuSlab* c, out bool tooMany)
    {
        tooMany = false;
        SheafBarn barn = sheaves.Barns[cpu.Node.Id];
        ref ArrayCache* spare = ref sheaves.SpareOf(cpu.Id);
        ArrayCache* empty;
        if (spare == null)
        {
            empty = barn.TakeEmpty();
            if (empty != null)
            {
                spare = c->Array;
                c->Array = empty;
            }

            return empty != null;
        }

        if (TrySwap(sheaves, cpu, c, wantsRoom: true))
        {
            return true;
        }

        empty = barn.ReplaceFull(c->Array, out tooMany);
        if (empty != null)
        {
            sheaves.Counted(SheafEvent.BarnPut);
            c->Array = empty;
        }

        return empty != null;
    }

    /// <summary>Fills a sheaf that nobody else has from slabs (<c>refill_sheaf()</c>).</summary>
    /// <returns>Whether it is full.</returns>
    [SkipLocalsInit]
    private bool Fill(Cpu cpu, KmemCache cache, SheafCache sheaves, ArrayCache* sheaf, Gfp gfp)
    {
        ulong* addresses = stackalloc ulong[SheafPortion];
        sheaves.Counted(SheafEvent.Refill);
        while (sheaf->Avail < sheaf->Limit)
        {
            int wanted = Math.Min(sheaf->Limit - sheaf->Avail, SheafPortion);
            int got = TakeManyFromSlabs(cpu, cache, gfp, addresses, wanted);
            for (int i = 0; i < got; i++)
            {
                ref SlabPage slab = ref _memory[_memory.SlabAt(addresses[i])];
                _ = slab.TryIndex(addresses[i], out uint index);
                ArrayCache.Push(sheaf, addresses[i], slab.Links.At(index));
            }

            if (got < wanted)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Gives all objects of a sheaf that nobody else has back to their slabs (<c>sheaf_flush_unused()</c>).</summary>
    [SkipLocalsInit]
    private void FlushSheaf(Cpu cpu, KmemCache cache, SheafCache sheaves, ArrayCache* sheaf)
    {
        if (sheaf->Avail == 0)
        {
            return;
        }

        sheaves.Counted(SheafEvent.Flush);
        Span<VirtualAddress> objects = stackalloc VirtualAddress[SheafPortion];
        while (sheaf->Avail != 0)
        {
            int count = Math.Min(sheaf->Avail, SheafPortion);
            sheaf->Avail -= count;
            ArrayEntry* entries = ArrayCache.EntriesOf(sheaf) + sheaf->Avail;
            for (int i = 0; i < count; i++)
            {
                objects[i] = new VirtualAddress(entries[i].Address);
            }

            FreeManyToSlabs(cpu, cache, objects[..count]);
        }
    }

    /// <summary>Empties a CPU's sheaves (<c>pcs_flush_all()</c>); the main one stays.</summary>
    private void FlushSheavesOf(Cpu cpu, KmemCache cache, SheafCache sheaves, int target)
    {
        FlushSheaf(cpu, cache, sheaves, cache.Cpus[target].Array);
        ref ArrayCache* spare = ref sheaves.SpareOf(target);
        if (spare != null)
        {
            ArrayCache* flushed = spare;
            spare = null;
            FlushSheaf(cpu, cache, sheaves, flushed);
            sheaves.GiveEmptyLater(flushed);
        }

        ref ArrayCache* rcu = ref sheaves.RcuFreeOf(target);
        if (rcu != null)
        {
            // Its objects' grace periods have not ended; no barn gets it.
            ArrayCache* waiting = rcu;
            rcu = null;
            Await(cache, sheaves, waiting, SlabPage.NoNode);
        }
    }

    /// <summary>Empties the barns (<c>barn_shrink()</c>).</summary>
    private void ShrinkBarns(Cpu cpu, KmemCache cache, SheafCache sheaves)
    {
        foreach (SheafBarn barn in sheaves.Barns)
        {
            for (ArrayCache* sheaf = barn.TakeAll(); sheaf != null;)
            {
                ArrayCache* next = sheaf->Next;
                FlushSheaf(cpu, cache, sheaves, sheaf);
                sheaves.GiveEmptyLater(sheaf);
                sheaf = next;
            }
        }
    }

    /// <summary>Takes objects out of the sheaves, as many as they and the barn's full ones have, each sheaf's in the order in which they were put in (<c>alloc_from_pcs_bulk()</c>).</summary>
    private int TakeManyFromSheaves(Cpu cpu, KmemCache cache, SheafCache sheaves, Span<VirtualAddress> objects)
    {
        CpuSlab* c = cache.Cpus + cpu.Id;
        int taken = 0;
        while (taken < objects.Length && (c->Array->Avail != 0 || TrySwap(sheaves, cpu, c, wantsRoom: false) || TryGetFull(sheaves, cpu, c)))
        {
            int count = Math.Min(c->Array->Avail, objects.Length - taken);
            c->Array->Avail -= count;
            ArrayEntry* entry = ArrayCache.EntriesOf(c->Array) + c->Array->Avail;
            for (int i = 0; i < count; i++, entry++)
            {
                *entry->Link = SlabPage.Allocated;
                objects[taken++] = new VirtualAddress(entry->Address);
            }
        }

        return taken;
    }

    /// <summary>Frees objects into the sheaves while there is room without making or emptying one, the others to their slabs (<c>free_to_pcs_bulk()</c>).</summary>
    private void GiveManyToSheaves(Cpu cpu, KmemCache cache, SheafCache sheaves, Span<VirtualAddress> objects)
    {
        CpuSlab* c = cache.Cpus + cpu.Id;
        int local = MoveOthersBack(cpu, objects);
        int given = 0;
        for (; given < local; given++)
        {
            if (c->Array->Avail == c->Array->Limit && !TryGetRoom(sheaves, cpu, c, out bool tooMany))
            {
                if (tooMany)
                {
                    sheaves.Counted(SheafEvent.BarnPutFail);
                }

                break;
            }

            ulong address = objects[given].Value;
            ref SlabPage slab = ref _memory[_memory.SlabAt(address)];
            _ = slab.TryIndex(address, out uint index);
            ArrayCache.Push(c->Array, address, slab.Links.At(index));
        }

        FreeManyToSlabs(cpu, cache, objects[given..local]);
        FreeManyToSlabs(cpu, cache, objects[local..]);
    }

    /// <summary>Moves objects that may not go into this CPU's sheaves to the end.</summary>
    /// <returns>How many may.</returns>
    private int MoveOthersBack(Cpu cpu, Span<VirtualAddress> objects)
    {
        int count = objects.Length;
        for (int i = 0; i < count;)
        {
            if (_memory[_memory.SlabAt(objects[i].Value)].ArrayNode == cpu.Node.Id)
            {
                i++;
            }
            else
            {
                count--;
                (objects[i], objects[count]) = (objects[count], objects[i]);
            }
        }

        return count;
    }

    /// <summary>Allocates several objects: of the sheaves, then past them from slabs.</summary>
    private int AllocManySheaved(Cpu cpu, KmemCache cache, Gfp gfp, Span<VirtualAddress> objects)
    {
        if (cache.IsDebugged)
        {
            return base.AllocBulk(cpu, cache, gfp, objects);
        }

        int taken = SheavesOf(cache) is { } sheaves ? TakeManyFromSheaves(cpu, cache, sheaves, objects) : 0;
        fixed (VirtualAddress* first = objects)
        {
            // An address is its number and nothing else.
            return taken == objects.Length ? taken : taken + TakeManyFromSlabs(cpu, cache, gfp, (ulong*)first + taken, objects.Length - taken);
        }
    }

    private void FreeManyToSlabs(Cpu cpu, KmemCache cache, Span<VirtualAddress> objects)
    {
        int left = objects.Length;
        while (left > 0)
        {
            left = FreeOneSlab(cpu, cache, objects[..left]);
        }
    }
}
