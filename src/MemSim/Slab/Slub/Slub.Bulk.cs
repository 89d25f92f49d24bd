using System.Runtime.CompilerServices;

namespace MemSim.Slab;

/// <content>Bulk free, and what concerns a cache as a whole.</content>
internal sealed unsafe partial class Slub
{
    /// <summary>How many objects of other slabs are passed over while looking for more of the same one.</summary>
    private const int Lookahead = 3;

    /// <summary>How many lists a bulk free makes at most before it goes the careful way: of what lies about in many slabs.</summary>
    private const int MostChains = 32;

    // Bulk calls are entered once for many objects. Inlined into their callers they use up what the compiler is willing to inline, and the small parts become calls.
    [MethodImpl(MethodImplOptions.NoInlining)]
    public override int AllocBulk(Cpu cpu, KmemCache cache, Gfp gfp, Span<VirtualAddress> objects)
    {
        if (!_hasCpuSlabs || cache.BackendState is not null)
        {
            return AllocManySheaved(cpu, cache, gfp, objects);
        }

        CpuSlab* c = cache.CurrentSlabs + cpu.Id;
        fixed (VirtualAddress* first = objects)
        {
            // An address is its number and nothing else.
            ulong* at = (ulong*)first;
            ulong* end = at + objects.Length;
            while (at < end)
            {
                at = TakeFreelist(c, at, end);
                if (at < end)
                {
                    ulong address = AllocFromCpu(c);
                    if (address == 0 && (address = Alloc(cpu, cache, gfp, -1)) == 0)
                    {
                        break;
                    }

                    *at++ = address;
                }
            }

            return (int)(at - (ulong*)first);
        }
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

        Unsafe.SkipInit(out ChainBuffer room);
        Chain* chains = (Chain*)&room;
        fixed (VirtualAddress* first = objects)
        {
            Chain* end = LinkAll(cache, (ulong*)first, (ulong*)first + objects.Length, chains);
            if (end == null)
            {
                return false;
            }

            SpliceAll(cpu, cache, chains, end);
        }

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
            CpuSlab* c = cache.CurrentSlabs + cpu;
            int partial = c->Partial == 0 ? 0 : _memory[c->Partial].Count;
            counts.CpuPartialSlabs += partial;
            counts.CpuSlabs += partial + (c->Slab != 0 ? 1 : 0);
        }

        return counts;
    }

    /// <summary>Hands out the CPU's own free list, or as much of it as there is room for.</summary>
    /// <returns>Where the next address goes.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong* TakeFreelist(CpuSlab* c, ulong* at, ulong* end)
    {
        uint free = c->FreeHead;
        ulong start = c->Base;
        SlabLinks links = c->Links;
        uint size = c->Size;
        while (free != SlabPage.End && at < end)
        {
            ulong address = start + (free * size);
            ushort* link = links.At(free);
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

        c->FreeHead = free;
        return at;
    }

    /// <summary>Links addresses to lists, one a slab, from the last to the first.</summary>
    /// <returns>Behind the last list; null when an object is amiss, or when more of a slab's may follow after others: then all are allocated ones again.</returns>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private Chain* LinkAll(KmemCache cache, ulong* from, ulong* end, Chain* chain)
    {
        SlabPage* slabs = _memory.Pages;
        Chain* last = chain + MostChains;
        ulong* at = end;
        for (; at > from; chain++)
        {
            int head = _memory.SlabAt(at[-1]);
            SlabPage* slab = slabs + (uint)head;
            if (head == 0 || slab->Cache != cache.Id || chain == last)
            {
                break;
            }

            ulong* start = LinkRun(slab, from, at - 1, chain);
            if (start == at)
            {
                break;
            }

            chain->Head = head;
            chain->Count = (int)((uint)((byte*)at - (byte*)start) / sizeof(ulong));
            at = start;

            // The kernel passes over objects of other slabs to find more of this one: that order is the careful way's business.
            uint bytes = slab->Objects * slab->Size;
            if (at - 1 > from && (at[-2] - slab->Base < bytes || (at - 2 > from && at[-3] - slab->Base < bytes)))
            {
                break;
            }
        }

        if (at == from)
        {
            return chain;
        }

        TakeBack(at, end);
        return null;
    }

    /// <summary>Links the objects of one slab at the end of a list of addresses.</summary>
    /// <param name="slab">The slab of the last address.</param>
    /// <param name="from">The first address.</param>
    /// <param name="at">The last address.</param>
    /// <param name="chain">Receives the list's ends.</param>
    /// <returns>The first address that was linked: before it is another slab's, or one that is amiss; behind the last address when none was.</returns>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static ulong* LinkRun(SlabPage* slab, ulong* from, ulong* at, Chain* chain)
    {
        SlabLinks links = slab->Links;
        ulong start = slab->Base;
        ulong size = slab->Size;
        ulong bytes = slab->Objects * size;
        ulong reciprocal = slab->Reciprocal;
        ulong offset = *at - start;
        chain->Last = (ushort)((offset * reciprocal) >> 32);
        ulong next = SlabPage.End;
        while (offset < bytes)
        {
            ulong index = (offset * reciprocal) >> 32;
            ushort* link = links.At(index);
            if (index * size != offset || *link != SlabPage.Allocated)
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

        chain->First = (ushort)next;
        return at + 1;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void SpliceAll(Cpu cpu, KmemCache cache, Chain* chain, Chain* end)
    {
        CpuSlab* c = cache.CurrentSlabs + cpu.Id;
        SlabPage* slabs = _memory.Pages;
        bool keeps = !_parallel && cache.Layout.CpuPartial != 0;
        for (; chain < end; chain++)
        {
            SlabPage* slab = slabs + (uint)chain->Head;
            if (c->Slab == chain->Head)
            {
                c->Links[chain->Last] = (ushort)c->FreeHead;
                c->FreeHead = chain->First;
            }
            else if (keeps && slab->FreeHead == SlabPage.End && (slab->State & SlabPage.Frozen) == 0)
            {
                // Nothing of it was free and it was nobody's: its list is the chain, and it is this CPU's now.
                slab->FreeHead = chain->First;
                slab->InUse -= (ushort)chain->Count;
                slab->State |= SlabPage.Frozen;
                PutCpuPartial(cpu, cache, chain->Head);
            }
            else
            {
                FreeChain(cpu, cache, chain->Head, chain->First, chain->Last, chain->Count);
            }
        }
    }

    /// <summary>Makes linked objects allocated ones again.</summary>
    private void TakeBack(ulong* at, ulong* end)
    {
        for (; at < end; at++)
        {
            ref SlabPage slab = ref _memory[_memory.SlabAt(*at)];
            _ = slab.TryIndex(*at, out uint index);
            slab.Links[index] = SlabPage.Allocated;
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

        CpuSlab* c = cache.CurrentSlabs + cpu.Id;
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

    public override void CpuDead(Cpu cpu, KmemCache cache, int dead)
    {
        if (SheavesOf(cache) is { } sheaves)
        {
            FlushSheavesOf(cpu, cache, sheaves, dead);
        }

        FlushCpu(cpu, cache, dead);
    }

    /// <summary>Takes the sheaves and slabs of all CPUs away (<c>flush_all()</c>); no other thread may drive a CPU meanwhile.</summary>
    private void FlushAll(Cpu cpu, KmemCache cache)
    {
        if (SheavesOf(cache) is { } sheaves)
        {
            for (int i = 0; i < _machine.Cpus.Count; i++)
            {
                FlushSheavesOf(cpu, cache, sheaves, i);
            }

            ShrinkBarns(cpu, cache, sheaves);
        }

        for (int i = 0; i < _machine.Cpus.Count; i++)
        {
            FlushCpu(cpu, cache, i);
        }
    }

    private void FlushCpu(Cpu cpu, KmemCache cache, int target)
    {
        CpuSlab* c = cache.CurrentSlabs + target;
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

    /// <summary>Objects of one slab that were linked to one another.</summary>
    private struct Chain
    {
        public int Head;

        public int Count;

        public ushort First;

        public ushort Last;
    }

    [InlineArray(MostChains)]
    private struct ChainBuffer
    {
        private Chain _first;
    }
}
