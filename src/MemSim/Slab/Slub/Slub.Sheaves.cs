using System.Runtime.CompilerServices;

namespace MemSim.Slab;

/// <content>Sheaves: allocation from and free to a CPU's arrays of objects, which are exchanged with the node's barn, filled from slabs and emptied to them.</content>
/// <remarks>
/// Kernel 6.18 and later: <c>alloc_from_pcs()</c>, <c>__pcs_replace_empty_main()</c>, <c>free_to_pcs()</c>, <c>__pcs_replace_full_main()</c>, <c>refill_sheaf()</c>.
/// In 6.18 the caches that asked for them have sheaves, and current slabs of CPUs behind them; from 7.0 on all have sheaves and no CPU has a current slab.
/// An object in a sheaf has the link <see cref="SlabPage.End"/>.
/// </remarks>
internal sealed partial class Slub
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
        ref CpuSlab c = ref cache.Cpus[cpu.Id];
        if ((node >= 0 && node != cpu.Node.Id) || (c.Array.Avail == 0 && !ReplaceEmptyMain(cpu, cache, sheaves, ref c, gfp)))
        {
            return 0;
        }

        if (node >= 0 && _memory[_memory.SlabAt(c.Array.Entries[^1].Address)].Node != node)
        {
            return 0;
        }

        return c.Array.Pop();
    }

    /// <summary>Finds a sheaf with objects for a CPU whose main one is empty: the spare, a full one of the barn, or one filled from slabs.</summary>
    private bool ReplaceEmptyMain(Cpu cpu, KmemCache cache, SheafCache sheaves, ref CpuSlab c, Gfp gfp)
    {
        if (TrySwap(sheaves, cpu, ref c, wantsRoom: false) || TryGetFull(sheaves, cpu, ref c))
        {
            return true;
        }

        // 6.18 leaves filling to those who may sleep, because it may take long.
        if (_hasCpuSlabs && (gfp & Gfp.DirectReclaim) == 0)
        {
            return false;
        }

        SheafBarn barn = sheaves.Barns[cpu.Node.Id];
        ref ArrayCache spare = ref sheaves.SpareOf(cpu.Id);
        ArrayCache filled = !spare.IsNull ? spare : barn.TakeEmpty();
        spare = default;
        if (filled.IsNull)
        {
            filled = sheaves.TakeEmpty(cpu, gfp);
            if (filled.IsNull)
            {
                // Reclaim for it may have freed objects into these very sheaves.
                return c.Array.Avail != 0;
            }
        }

        if (!Fill(cpu, cache, sheaves, filled, gfp | Gfp.NoMemAlloc | Gfp.NoWarn))
        {
            FlushSheaf(cpu, cache, sheaves, filled);
            sheaves.GiveEmpty(cpu, filled);
            return c.Array.Avail != 0;
        }

        // The page allocator may have reclaimed meanwhile, and freed objects into these very sheaves.
        if (c.Array.Avail != 0)
        {
            barn.PutFull(filled);
            sheaves.Counted(SheafEvent.BarnPut);
            return true;
        }

        if (spare.IsNull)
        {
            spare = c.Array;
        }
        else
        {
            barn.PutEmpty(c.Array);
        }

        c.Array = filled;
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

        ref CpuSlab c = ref cache.Cpus[cpu.Id];
        if (c.Array.Avail == c.Array.Limit)
        {
            ReplaceFullMain(cpu, cache, sheaves, ref c);
        }

        c.Array.Push(slab.AddressOf(index), slab.Links.At(index));
        return true;
    }

    /// <summary>Finds a sheaf with room for a CPU whose main one is full.</summary>
    private void ReplaceFullMain(Cpu cpu, KmemCache cache, SheafCache sheaves, ref CpuSlab c)
    {
        if (TryGetRoom(sheaves, cpu, ref c, out bool tooMany))
        {
            return;
        }

        ArrayCache empty;
        if (tooMany)
        {
            sheaves.Counted(SheafEvent.BarnPutFail);
            ref ArrayCache spare = ref sheaves.SpareOf(cpu.Id);
            empty = spare;
            spare = default;
            FlushSheaf(cpu, cache, sheaves, empty);
        }
        else
        {
            empty = sheaves.TakeEmpty(cpu, SheafMemory.NoWait(_machine));
            if (empty.IsNull)
            {
                FlushSheaf(cpu, cache, sheaves, c.Array);
                return;
            }
        }

        Install(cpu, sheaves, ref c, empty);
    }

    /// <summary>Gives a CPU an empty main sheaf for its full one, if that is still full: where sheaves of the cache are objects of the same cache, having got the empty one made room.</summary>
    private static void Install(Cpu cpu, SheafCache sheaves, ref CpuSlab c, ArrayCache empty)
    {
        SheafBarn barn = sheaves.Barns[cpu.Node.Id];
        ref ArrayCache spare = ref sheaves.SpareOf(cpu.Id);
        if (spare.IsNull)
        {
            spare = c.Array;
            c.Array = empty;
        }
        else if (c.Array.Avail < c.Array.Limit || TrySwap(sheaves, cpu, ref c, wantsRoom: true))
        {
            barn.PutEmpty(empty);
        }
        else
        {
            barn.PutFull(c.Array);
            sheaves.Counted(SheafEvent.BarnPut);
            c.Array = empty;
        }
    }

    /// <summary>Exchanges main sheaf and spare, if that brings objects (or room).</summary>
    private static bool TrySwap(SheafCache sheaves, Cpu cpu, ref CpuSlab c, bool wantsRoom)
    {
        ref ArrayCache spare = ref sheaves.SpareOf(cpu.Id);
        if (spare.IsNull || (wantsRoom ? spare.Avail == spare.Limit : spare.Avail == 0))
        {
            return false;
        }

        ArrayCache main = c.Array;
        c.Array = spare;
        spare = main;
        sheaves.Counted(SheafEvent.Swap);
        return true;
    }

    /// <summary>Gives the barn the empty main sheaf for a full one.</summary>
    private static bool TryGetFull(SheafCache sheaves, Cpu cpu, ref CpuSlab c)
    {
        ArrayCache full = sheaves.Barns[cpu.Node.Id].ReplaceEmpty(c.Array);
        sheaves.Counted(!full.IsNull ? SheafEvent.BarnGet : SheafEvent.BarnGetFail);
        if (!full.IsNull)
        {
            c.Array = full;
        }

        return !full.IsNull;
    }

    /// <summary>Finds a sheaf with room without making or emptying one.</summary>
    private static bool TryGetRoom(SheafCache sheaves, Cpu cpu, ref CpuSlab c, out bool tooMany)
    {
        tooMany = false;
        SheafBarn barn = sheaves.Barns[cpu.Node.Id];
        ref ArrayCache spare = ref sheaves.SpareOf(cpu.Id);
        ArrayCache empty;
        if (spare.IsNull)
        {
            empty = barn.TakeEmpty();
            if (!empty.IsNull)
            {
                spare = c.Array;
                c.Array = empty;
            }

            return !empty.IsNull;
        }

        if (TrySwap(sheaves, cpu, ref c, wantsRoom: true))
        {
            return true;
        }

        empty = barn.ReplaceFull(c.Array, out tooMany);
        if (!empty.IsNull)
        {
            sheaves.Counted(SheafEvent.BarnPut);
            c.Array = empty;
        }

        return !empty.IsNull;
    }

    /// <summary>Fills a sheaf that nobody else has from slabs (<c>refill_sheaf()</c>).</summary>
    /// <returns>Whether it is full.</returns>
    [SkipLocalsInit]
    private bool Fill(Cpu cpu, KmemCache cache, SheafCache sheaves, ArrayCache sheaf, Gfp gfp)
    {
        Span<VirtualAddress> addresses = stackalloc VirtualAddress[SheafPortion];
        sheaves.Counted(SheafEvent.Refill);
        while (sheaf.Avail < sheaf.Limit)
        {
            int wanted = Math.Min(sheaf.Limit - sheaf.Avail, SheafPortion);
            int got = TakeManyFromSlabs(cpu, cache, gfp, addresses[..wanted]);
            foreach (VirtualAddress obj in addresses[..got])
            {
                ref SlabPage slab = ref _memory[_memory.SlabAt(obj.Value)];
                _ = slab.TryIndex(obj.Value, out uint index);
                sheaf.Push(obj.Value, slab.Links.At(index));
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
    private void FlushSheaf(Cpu cpu, KmemCache cache, SheafCache sheaves, ArrayCache sheaf)
    {
        if (sheaf.Avail == 0)
        {
            return;
        }

        sheaves.Counted(SheafEvent.Flush);
        Span<VirtualAddress> objects = stackalloc VirtualAddress[SheafPortion];
        while (sheaf.Avail != 0)
        {
            int count = Math.Min(sheaf.Avail, SheafPortion);
            ReadOnlySpan<ArrayEntry> entries = sheaf.TakeNewest(count);
            for (int i = 0; i < entries.Length; i++)
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
        ref ArrayCache spare = ref sheaves.SpareOf(target);
        if (!spare.IsNull)
        {
            ArrayCache flushed = spare;
            spare = default;
            FlushSheaf(cpu, cache, sheaves, flushed);
            sheaves.GiveEmptyLater(flushed);
        }

        ref ArrayCache rcu = ref sheaves.RcuFreeOf(target);
        if (!rcu.IsNull)
        {
            // Its objects' grace periods have not ended; no barn gets it.
            ArrayCache waiting = rcu;
            rcu = default;
            Await(cache, sheaves, waiting, SlabPage.NoNode);
        }
    }

    /// <summary>Empties the barns (<c>barn_shrink()</c>).</summary>
    private void ShrinkBarns(Cpu cpu, KmemCache cache, SheafCache sheaves)
    {
        foreach (SheafBarn barn in sheaves.Barns)
        {
            for (ArrayCache sheaf = barn.TakeAll(); !sheaf.IsNull;)
            {
                ArrayCache next = sheaf.Next;
                FlushSheaf(cpu, cache, sheaves, sheaf);
                sheaves.GiveEmptyLater(sheaf);
                sheaf = next;
            }
        }
    }

    /// <summary>Takes objects out of the sheaves, as many as they and the barn's full ones have, each sheaf's in the order in which they were put in (<c>alloc_from_pcs_bulk()</c>).</summary>
    private static int TakeManyFromSheaves(Cpu cpu, KmemCache cache, SheafCache sheaves, Span<VirtualAddress> objects)
    {
        ref CpuSlab c = ref cache.Cpus[cpu.Id];
        int taken = 0;
        while (taken < objects.Length && (c.Array.Avail != 0 || TrySwap(sheaves, cpu, ref c, wantsRoom: false) || TryGetFull(sheaves, cpu, ref c)))
        {
            int count = Math.Min(c.Array.Avail, objects.Length - taken);
            foreach (ref readonly ArrayEntry entry in c.Array.TakeNewest(count))
            {
                entry.Link.State = SlabPage.Allocated;
                objects[taken++] = new VirtualAddress(entry.Address);
            }
        }

        return taken;
    }

    /// <summary>Frees objects into the sheaves while there is room without making or emptying one, the others to their slabs (<c>free_to_pcs_bulk()</c>).</summary>
    private void GiveManyToSheaves(Cpu cpu, KmemCache cache, SheafCache sheaves, Span<VirtualAddress> objects)
    {
        ref CpuSlab c = ref cache.Cpus[cpu.Id];
        int local = MoveOthersBack(cpu, objects);
        int given = 0;
        for (; given < local; given++)
        {
            if (c.Array.Avail == c.Array.Limit && !TryGetRoom(sheaves, cpu, ref c, out bool tooMany))
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
            c.Array.Push(address, slab.Links.At(index));
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
        return taken == objects.Length ? taken : taken + TakeManyFromSlabs(cpu, cache, gfp, objects[taken..]);
    }

    /// <summary>Past the sheaves (<c>__kmem_cache_free_bulk()</c>): without memory there are bigger problems than empty sheaves (6.18 on).</summary>
    public override void GiveBackBulk(Cpu cpu, KmemCache cache, Span<VirtualAddress> objects) => FreeManyToSlabs(cpu, cache, objects);

    private void FreeManyToSlabs(Cpu cpu, KmemCache cache, Span<VirtualAddress> objects)
    {
        int left = objects.Length;
        while (left > 0)
        {
            left = FreeOneSlab(cpu, cache, objects[..left]);
        }
    }
}
