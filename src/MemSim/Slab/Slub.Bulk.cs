namespace MemSim.Slab;

/// <content>Bulk free, and what concerns a cache as a whole.</content>
internal sealed unsafe partial class Slub
{
    /// <summary>How many objects of other slabs are passed over while looking for more of the same one.</summary>
    private const int Lookahead = 3;

    public override int AllocBulk(Cpu cpu, KmemCache cache, Gfp gfp, Span<VirtualAddress> objects)
    {
        CpuSlab* c = cache.Cpus + cpu.Id;
        int got = 0;
        while (got < objects.Length)
        {
            ulong start = c->Base;
            ushort* links = c->Links;
            uint size = c->Size;
            uint free = c->FreeHead;
            while (free != SlabPage.End && got < objects.Length)
            {
                objects[got++] = new VirtualAddress(start + (free * size));
                ushort* link = links + free;
                free = *link;
                *link = SlabPage.Allocated;
            }

            c->FreeHead = free;
            if (got < objects.Length)
            {
                ulong address = AllocFromCpu(c);
                if (address == 0 && (address = Alloc(cpu, cache, gfp, -1)) == 0)
                {
                    break;
                }

                objects[got++] = new VirtualAddress(address);
            }
        }

        return got;
    }

    public override void FreeBulk(Cpu cpu, KmemCache cache, Span<VirtualAddress> objects)
    {
        int left = objects.Length;
        while (left > 0)
        {
            left = FreeOneSlab(cpu, cache, objects[..left]);
        }
    }

    public override long Shrink(Cpu cpu, KmemCache cache)
    {
        if (cache.IsDebugged)
        {
            // A report stops everything: it must come before the first slab goes.
            _ = _allocator.Debug.Validate(cpu, cache);
        }

        FlushAll(cpu, cache);
        long left = 0;
        foreach (SlubNode node in cache.Nodes)
        {
            int discarded = 0;
            Lock(node);
            SortByFree(node, ref discarded);
            Unlock(node);
            while (discarded != 0)
            {
                int next = _memory[discarded].Next;
                Discard(cpu, cache, discarded);
                discarded = next;
            }

            left += node.Slabs;
        }

        return left;
    }

    public override bool Shutdown(Cpu cpu, KmemCache cache)
    {
        if (cache.IsDebugged)
        {
            // A report stops everything: it must come before the first slab goes.
            _ = _allocator.Debug.Validate(cpu, cache);
        }

        FlushAll(cpu, cache);
        bool none = true;
        foreach (SlubNode node in cache.Nodes)
        {
            for (int head = node.Partial.First; head != 0;)
            {
                int next = _memory[head].Next;
                if (_memory[head].InUse == 0)
                {
                    node.Partial.Remove(_memory, head);
                    Discard(cpu, cache, head);
                }

                head = next;
            }

            none &= node.Slabs == 0;
        }

        return none;
    }

    public override CacheCounts Count(KmemCache cache)
    {
        CacheCounts counts = default;
        foreach (SlubNode node in cache.Nodes)
        {
            counts.Slabs += node.Slabs;
            counts.TotalObjects += node.Objects;
            counts.PartialSlabs += node.Partial.Count;
            for (int head = node.Partial.First; head != 0; head = _memory[head].Next)
            {
                counts.FreeInPartial += _memory[head].Objects - _memory[head].InUse;
                counts.UsedInPartial += _memory[head].InUse;
            }
        }

        for (int cpu = 0; cpu < _machine.Cpus.Count; cpu++)
        {
            CpuSlab* c = cache.Cpus + cpu;
            int partial = c->Partial == 0 ? 0 : _memory[c->Partial].Count;
            counts.CpuPartialSlabs += partial;
            counts.CpuSlabs += partial + (c->Slab != 0 ? 1 : 0);
        }

        return counts;
    }

    /// <summary>Frees the last object and those of its slab not far before it; the objects passed over stay in front.</summary>
    /// <returns>How many objects are left.</returns>
    private int FreeOneSlab(Cpu cpu, KmemCache cache, Span<VirtualAddress> objects)
    {
        int left = objects.Length - 1;
        ulong address = objects[left].Value;
        int head = _memory.SlabAt(address);
        ref SlabPage slab = ref _memory[head];
        _ = slab.TryIndex(address, out uint first);
        if (cache.IsDebugged)
        {
            Free(cpu, cache, head, first);
            return left;
        }

        uint last = first;
        int count = 1;
        int lookahead = Lookahead;
        ulong start = slab.Base;
        ulong bytes = slab.Objects * slab.Size;
        uint reciprocal = slab.Reciprocal;
        ushort* links = slab.Links;
        links[last] = SlabPage.End;
        for (int i = left - 1; i >= 0; i--)
        {
            ulong offset = objects[i].Value - start;
            if (offset < bytes)
            {
                uint index = (uint)((offset * reciprocal) >> 32);
                links[index] = (ushort)first;
                first = index;
                count++;
                left--;
                if (i != left)
                {
                    (objects[i], objects[left]) = (objects[left], objects[i]);
                }
            }
            else if (--lookahead == 0)
            {
                break;
            }
        }

        CpuSlab* c = cache.Cpus + cpu.Id;
        if (c->Slab == head)
        {
            links[last] = (ushort)c->FreeHead;
            c->FreeHead = first;
        }
        else
        {
            FreeChain(cpu, cache, head, first, last, count);
        }

        return left;
    }

    /// <summary>Takes the slabs of all CPUs away (<c>flush_all()</c>); no other thread may drive a CPU meanwhile.</summary>
    private void FlushAll(Cpu cpu, KmemCache cache)
    {
        for (int i = 0; i < _machine.Cpus.Count; i++)
        {
            CpuSlab* c = cache.Cpus + i;
            if (c->Slab != 0)
            {
                Deactivate(cpu, cache, c);
            }

            if (c->Partial != 0)
            {
                int list = c->Partial;
                c->Partial = 0;
                Unfreeze(cpu, cache, list);
            }
        }
    }

    /// <summary>Orders a node's partial slabs so that the fullest come first, and takes the empty ones off.</summary>
    private void SortByFree(SlubNode node, ref int discarded)
    {
        // As the kernel: only slabs with fewer than 32 free objects are sorted, the others stay behind them.
        const int promoted = 32;
        SlabList[] buckets = new SlabList[promoted + 1];
        while (node.Partial.First != 0)
        {
            int head = node.Partial.First;
            node.Partial.Remove(_memory, head);
            ref SlabPage slab = ref _memory[head];
            int free = slab.Objects - slab.InUse;
            if (slab.InUse == 0)
            {
                slab.Next = discarded;
                discarded = head;
            }
            else
            {
                buckets[Math.Min(free, promoted + 1) - 1].AddLast(_memory, head);
            }
        }

        foreach (ref SlabList bucket in buckets.AsSpan())
        {
            while (bucket.First != 0)
            {
                int head = bucket.First;
                bucket.Remove(_memory, head);
                node.Partial.AddLast(_memory, head);
            }
        }
    }
}
