using System.Runtime.CompilerServices;

namespace MemSim.Slab;

/// <content>Bulk free, and what concerns a cache as a whole.</content>
internal sealed partial class Slub
{
    /// <summary>How many objects of other slabs are passed over while looking for more of the same one.</summary>
    private const int Lookahead = 3;

    // Bulk calls are entered once for many objects. Inlined into their callers they use up what the compiler is willing to inline, and the small parts become calls.
    [MethodImpl(MethodImplOptions.NoInlining)]
    public override int AllocBulk(Cpu cpu, KmemCache cache, Gfp gfp, Span<VirtualAddress> objects)
    {
        if (!_hasCpuSlabs || cache.BackendState is not null)
        {
            return AllocManySheaved(cpu, cache, gfp, objects);
        }

        ref CpuSlab c = ref cache.CurrentSlabs[cpu.Id];
        int got = 0;
        while (got < objects.Length)
        {
            got += BulkRuns.TakeFreelist(ref c, objects[got..]);
            if (got < objects.Length)
            {
                ulong address = AllocFromCpu(ref c);
                if (address == 0 && (address = Alloc(cpu, cache, gfp, -1)) == 0)
                {
                    break;
                }

                objects[got++] = new VirtualAddress(address);
            }
        }

        return got;
    }

    /// <summary>Checks and links in one go, as long as objects of a slab follow one another: a detached list for each slab, then each list spliced at once.</summary>
    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.NoInlining)]
    public override bool TryFreeBulk(Cpu cpu, KmemCache cache, ReadOnlySpan<VirtualAddress> objects)
    {
        if (cache.IsDebugged || cache.BackendState is not null)
        {
            return false;
        }

        Unsafe.SkipInit(out BulkRuns.ChainBuffer room);
        Span<BulkRuns.Chain> chains = room;
        int made = BulkRuns.LinkAll(_memory, cache, objects, chains);
        if (made < 0)
        {
            return false;
        }

        SpliceAll(cpu, cache, chains[..made]);
        return true;
    }

    public override void FreeBulk(Cpu cpu, KmemCache cache, Span<VirtualAddress> objects)
    {
        if (SheavesOf(cache) is { } sheaves)
        {
            GiveManyToSheaves(cpu, cache, sheaves, objects);
            return;
        }

        int left = objects.Length;
        while (left > 0)
        {
            left = FreeOneSlab(cpu, cache, objects[..left]);
        }
    }

    public override long Shrink(Cpu cpu, KmemCache cache, bool ofAllCpus)
    {
        if (cache.IsDebugged)
        {
            // A report stops everything: it must come before the first slab goes.
            _ = _allocator.Debug.Validate(cpu, cache);
        }

        Flush(cpu, cache, ofAllCpus);
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

        Flush(cpu, cache, ofAllCpus: true);
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

        if (none && SheavesOf(cache) is { } sheaves)
        {
            sheaves.Unfurnish();
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
            ref CpuSlab c = ref cache.CurrentSlabs[cpu];
            int partial = c.Partial == 0 ? 0 : _memory[c.Partial].Count;
            counts.CpuPartialSlabs += partial;
            counts.CpuSlabs += partial + (c.Slab != 0 ? 1 : 0);
        }

        return counts;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void SpliceAll(Cpu cpu, KmemCache cache, ReadOnlySpan<BulkRuns.Chain> chains)
    {
        ref CpuSlab c = ref cache.CurrentSlabs[cpu.Id];
        bool keeps = !_parallel && cache.Layout.CpuPartial != 0;
        foreach (ref readonly BulkRuns.Chain chain in chains)
        {
            ref SlabPage slab = ref _memory[chain.Head];
            if (c.Slab == chain.Head)
            {
                c.Links[(uint)chain.Last] = (ushort)c.FreeHead;
                c.FreeHead = chain.First;
            }
            else if (keeps && slab.FreeHead == SlabPage.End && (slab.State & SlabPage.Frozen) == 0)
            {
                // Nothing of it was free and it was nobody's: its list is the chain, and it is this CPU's now.
                slab.FreeHead = chain.First;
                slab.InUse -= (ushort)chain.Count;
                slab.State |= SlabPage.Frozen;
                PutCpuPartial(cpu, cache, chain.Head);
            }
            else
            {
                FreeChain(cpu, cache, chain.Head, chain.First, chain.Last, chain.Count);
            }
        }
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
            FreeDebugged(cpu, cache, head, first);
            return left;
        }

        uint last = first;
        int count = 1;
        int lookahead = Lookahead;
        ulong start = slab.Base;
        ulong bytes = slab.Objects * slab.Size;
        uint reciprocal = slab.Reciprocal;
        SlabLinks links = slab.Links;
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

        ref CpuSlab c = ref cache.CurrentSlabs[cpu.Id];
        if (c.Slab == head)
        {
            links[last] = (ushort)c.FreeHead;
            c.FreeHead = first;
        }
        else
        {
            FreeChain(cpu, cache, head, first, last, count);
        }

        return left;
    }

    public override void CpuDead(Cpu cpu, KmemCache cache, int dead)
    {
        if (SheavesOf(cache) is { } sheaves)
        {
            FlushSheavesOf(cpu, cache, sheaves, dead);
        }

        FlushCpu(cpu, cache, dead);
    }

    /// <summary>Takes the sheaves and slabs of the CPU away, or of all (<c>flush_all()</c>), which no other thread may drive meanwhile; and the sheaves of the barns.</summary>
    private void Flush(Cpu cpu, KmemCache cache, bool ofAllCpus)
    {
        (int first, int count) = ofAllCpus ? (0, _machine.Cpus.Count) : (cpu.Id, 1);
        if (SheavesOf(cache) is { } sheaves)
        {
            for (int i = first; i < first + count; i++)
            {
                FlushSheavesOf(cpu, cache, sheaves, i);
            }

            ShrinkBarns(cpu, cache, sheaves);
        }

        for (int i = first; i < first + count; i++)
        {
            FlushCpu(cpu, cache, i);
        }
    }

    private void FlushCpu(Cpu cpu, KmemCache cache, int target)
    {
        ref CpuSlab c = ref cache.CurrentSlabs[target];
        if (c.Slab != 0)
        {
            Deactivate(cpu, cache, ref c);
        }

        if (c.Partial != 0)
        {
            int list = c.Partial;
            c.Partial = 0;
            Unfreeze(cpu, cache, list);
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
