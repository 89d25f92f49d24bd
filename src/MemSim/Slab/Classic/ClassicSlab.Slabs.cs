using System.Diagnostics;

namespace MemSim.Slab;

/// <content>Slabs: made with a colour, taken from and given back to object by object, destroyed when too much is free or the reaper comes by.</content>
internal sealed partial class ClassicSlab
{
    /// <summary>Takes back what is not needed at the moment, as every CPU of a real kernel does every two seconds (<c>cache_reap()</c>).</summary>
    /// <param name="cpu">The CPU whose arrays are looked at; its node's every second time.</param>
    /// <returns>Slabs that went back to the page allocator.</returns>
    public long Reap(Cpu cpu)
    {
        long freed = 0;
        foreach (KmemCache cache in _allocator.Caches)
        {
            ClassicNode node = StateOf(cache).Nodes[cpu.Node.Id];
            ArrayCache array = cache.Cpus[cpu.Id].Array;
            if (array.IsNull)
            {
                continue;
            }

            if (!_singleNode)
            {
                node.ReapNode = (node.ReapNode + 1) % node.Aliens.Length;
                freed += SendHome(cpu, cache, node, node.ReapNode);
            }

            freed += Drain(cpu, cache, node, array);
            node.ReapDue = !node.ReapDue;
            if (node.ReapDue)
            {
                continue;
            }

            freed += Drain(cpu, cache, node, node.Shared);
            if (node.FreeTouched)
            {
                node.FreeTouched = false;
            }
            else
            {
                int objects = 5 * cache.Layout.Objects;
                freed += DrainFreeSlabs(cpu, cache, node, (node.FreeLimit + objects - 1) / objects);
            }
        }

        return freed;
    }

    /// <summary>Gives a cache arrays of other sizes (<c>do_tune_cpucache()</c>); no other thread may drive a CPU meanwhile.</summary>
    public void Tune(Cpu cpu, KmemCache cache, int limit, int batchCount, int shared)
    {
        DrainArrays(cpu, cache, ofAllCpus: true);
        StateOf(cache).Resize(limit, batchCount, shared);
    }

    public override long Shrink(Cpu cpu, KmemCache cache, bool ofAllCpus)
    {
        DrainArrays(cpu, cache, ofAllCpus);
        long left = 0;
        foreach (ClassicNode? node in StateOf(cache).Nodes)
        {
            if (node is not null)
            {
                _ = DrainFreeSlabs(cpu, cache, node, long.MaxValue);
                left += node.TotalSlabs;
            }
        }

        return left;
    }

    public override bool Shutdown(Cpu cpu, KmemCache cache)
    {
        bool none = Shrink(cpu, cache, ofAllCpus: true) == 0;
        for (int i = 0; none && i < _machine.Cpus.Count; i++)
        {
            // Whoever still holds the cache must come by the checks from now on.
            cache.Cpus[i].Array = default;
        }

        return none;
    }

    /// <summary>Gets pages for a slab and makes it ready, not yet on any list (<c>cache_grow_begin()</c>).</summary>
    /// <returns>Its first frame, or 0.</returns>
    private int Grow(Cpu cpu, KmemCache cache, Gfp gfp, int nodeId)
    {
        ClassicCache state = StateOf(cache);
        ClassicFigures figures = state.Figures;
        Gfp flags = SlabPages.PageFlagsOf(gfp);
        int head = _pages.Get(cpu, cache, flags, figures.Order, figures.Objects, cache.Layout.RedLeftPad, _singleNode ? -1 : nodeId);
        if (head == 0)
        {
            return 0;
        }

        ref SlabPage slab = ref _memory[head];
        if (figures.Place == FreelistPlace.OffSlab)
        {
            VirtualAddress freelist = _allocator.Kmalloc(cpu, figures.FreelistBytes, flags & ~Gfp.ThisNode, _singleNode ? -1 : slab.Node);
            if (freelist.IsNull)
            {
                _pages.Give(cpu, cache, head);
                return 0;
            }

            state.SetFreelist(head, freelist);
        }

        ClassicNode node = state.Nodes[slab.Node];
        Lock(node);
        node.ColourNext = node.ColourNext + 1 >= figures.Colours ? 0 : node.ColourNext + 1;
        slab.Count = (ushort)node.ColourNext;
        Unlock(node);
        slab.Base += (ulong)(slab.Count * figures.ColourOffset);
        slab.ArrayNode = cache.IsDebugged || (slab.State & SlabPage.FromReserves) != 0 ? SlabPage.NoNode : slab.Node;
        _allocator.Shuffle(cache, ref slab);
        try
        {
            _allocator.PrepareObjects(cpu, cache, head);
        }
        catch
        {
            // The constructor threw: there never was a slab.
            VirtualAddress freelist = figures.Place == FreelistPlace.OffSlab ? state.TakeFreelist(head) : default;
            _pages.Give(cpu, cache, head);
            cpu.Kfree(freelist);
            throw;
        }

        return head;
    }

    /// <summary>Puts a new slab on the list its state says (<c>cache_grow_end()</c>).</summary>
    private void AddSlab(KmemCache cache, int head)
    {
        ref SlabPage slab = ref _memory[head];
        ClassicNode node = StateOf(cache).Nodes[slab.Node];
        Debug.Assert(slab.InUse <= slab.Objects, "no more objects are out than there are");
        Lock(node);
        node.TotalSlabs++;
        node.FreeObjects += slab.Objects - slab.InUse;
        if (slab.InUse == 0)
        {
            node.Free.AddLast(_memory, head);
        }
        else
        {
            (slab.InUse == slab.Objects ? ref node.Full : ref node.Partial).AddFirst(_memory, head);
        }

        Unlock(node);
    }

    /// <summary>The slab to take objects from: partial before free. It is taken off its list; <see cref="Relist"/> puts it back.</summary>
    private int FirstSlab(ClassicNode node)
    {
        int head = node.Partial.First;
        if (head != 0)
        {
            node.Partial.Remove(_memory, head);
            return head;
        }

        node.FreeTouched = true;
        head = node.Free.First;
        if (head != 0)
        {
            node.Free.Remove(_memory, head);
        }

        return head;
    }

    /// <summary>As <see cref="FirstSlab"/>, passing over slabs from the emergency reserves, unless so much is free that they need not be kept (<c>get_valid_first_slab()</c>).</summary>
    private int FirstOrdinarySlab(ClassicNode node)
    {
        int head = FirstSlab(node);
        if (head == 0 || (_memory[head].State & SlabPage.FromReserves) == 0)
        {
            return head;
        }

        if (node.FreeObjects > node.FreeLimit)
        {
            _memory[head].State &= unchecked((byte)~SlabPage.FromReserves);
            _memory[head].ArrayNode = _memory[head].Node;
            return head;
        }

        // To the back, so that the next one need not pass over it.
        (_memory[head].InUse == 0 ? ref node.Free : ref node.Partial).AddLast(_memory, head);
        head = FindOrdinary(node.Partial);
        if (head != 0)
        {
            node.Partial.Remove(_memory, head);
            return head;
        }

        node.FreeTouched = true;
        head = FindOrdinary(node.Free);
        if (head != 0)
        {
            node.Free.Remove(_memory, head);
        }

        return head;
    }

    private int FindOrdinary(in SlabList list)
    {
        int head = list.First;
        while (head != 0 && (_memory[head].State & SlabPage.FromReserves) != 0)
        {
            head = _memory[head].Next;
        }

        return head;
    }

    private void Relist(ClassicNode node, int head)
    {
        ref SlabPage slab = ref _memory[head];
        Debug.Assert(slab.InUse > 0 && slab.InUse <= slab.Objects && node.FreeObjects >= 0, "an object of it was taken, and the node's count knows");
        (slab.InUse == slab.Objects ? ref node.Full : ref node.Partial).AddFirst(_memory, head);
    }

    /// <summary>Moves objects of a slab into an array.</summary>
    /// <returns>How many.</returns>
    private int TakeBlock(ArrayCache array, int head, int batch)
    {
        ref SlabPage slab = ref _memory[head];
        int count = Math.Min(batch, slab.Objects - slab.InUse);
        array.TakeFrom(ref slab, count);
        Debug.Assert(slab.InUse <= slab.Objects && array.Avail <= array.Limit, "no more objects are out than there are, and the array holds them");
        return count;
    }

    /// <summary>Takes one object of a slab, which becomes an allocated one.</summary>
    private ulong TakeObject(int head)
    {
        ref SlabPage slab = ref _memory[head];
        uint index = slab.FreeHead;
        Debug.Assert(slab.InUse < slab.Objects && index < slab.Objects, "the slab has a free object");
        slab.FreeHead = slab.Links[index];
        slab.Links[index] = SlabPage.Allocated;
        slab.InUse++;
        return slab.AddressOf(index);
    }

    /// <summary>Gives objects back to their slabs; when a node has too many free, its oldest free slabs go (<c>free_block()</c>). Under the node's lock.</summary>
    /// <returns>The first of a chain of slabs to destroy once the lock is released; 0: none.</returns>
    private int FreeBlock(KmemCache cache, ClassicNode node, ReadOnlySpan<ArrayEntry> entries)
    {
        foreach (ref readonly ArrayEntry entry in entries)
        {
            int head = _memory.SlabAt(entry.Address);
            ref SlabPage slab = ref _memory[head];
            SlabLink link = entry.Link;
            ushort before = slab.InUse;
            Debug.Assert(before > 0 && before <= slab.Objects, "an object of it is out");
            link.State = slab.FreeHead;
            slab.FreeHead = (ushort)slab.Links.IndexOf(link);
            slab.InUse = (ushort)(before - 1);

            // Most often its slab is the one that was put last before, and stays so.
            if (node.Partial.Last != head || before == 1)
            {
                (before == slab.Objects ? ref node.Full : ref node.Partial).Remove(_memory, head);
                if (before == 1)
                {
                    node.Free.AddFirst(_memory, head);
                }
                else
                {
                    node.Partial.AddLast(_memory, head);
                }
            }
        }

        node.FreeObjects += entries.Length;
        int discarded = 0;
        while (node.FreeObjects > node.FreeLimit && node.Free.Last != 0)
        {
            discarded = TakeOff(cache, node, discarded);
        }

        return discarded;
    }

    /// <summary>Takes the oldest free slab of a node off and chains it to others that shall be destroyed.</summary>
    private int TakeOff(KmemCache cache, ClassicNode node, int chain)
    {
        int head = node.Free.Last;
        node.Free.Remove(_memory, head);
        node.TotalSlabs--;
        node.FreeObjects -= cache.Layout.Objects;
        Debug.Assert(_memory[head].InUse == 0 && node.TotalSlabs >= 0 && node.FreeObjects >= 0, "a slab of nothing but free objects goes, and the counts know");
        _memory[head].Next = chain;
        return head;
    }

    private long DestroyList(Cpu cpu, KmemCache cache, int chain)
    {
        long destroyed = 0;
        while (chain != 0)
        {
            int next = _memory[chain].Next;
            _allocator.CheckDiscarded(cpu, cache, chain);
            bool offSlab = StateOf(cache).Figures.Place == FreelistPlace.OffSlab;
            VirtualAddress freelist = offSlab ? StateOf(cache).TakeFreelist(chain) : default;
            _pages.Give(cpu, cache, chain);
            if (offSlab)
            {
                _allocator.Kfree(cpu, freelist);
            }

            destroyed++;
            chain = next;
        }

        return destroyed;
    }

    /// <summary>Gives a part of an array back that was not used since the last time (<c>drain_array()</c>).</summary>
    private long Drain(Cpu cpu, KmemCache cache, ClassicNode node, ArrayCache array)
    {
        if (array.IsNull || array.Avail == 0)
        {
            return 0;
        }

        if (array.Touched != 0)
        {
            array.Touched = 0;
            return 0;
        }

        int count = (array.Limit + 4) / 5;
        return DrainEntries(cpu, cache, node, array, count > array.Avail ? (array.Avail + 1) / 2 : count);
    }

    private long DrainEntries(Cpu cpu, KmemCache cache, ClassicNode node, ArrayCache array, int most)
    {
        Lock(node);

        // Of a shared array another CPU may have taken some before the lock was there.
        int count = Math.Min(most, array.Avail);
        _machine.Interleaver?.Pass("ClassicSlab.DrainEntries");
        int discarded = FreeBlock(cache, node, array.Oldest(count));
        array.DropOldest(count);
        Unlock(node);
        return DestroyList(cpu, cache, discarded);
    }

    private long DrainFreeSlabs(Cpu cpu, KmemCache cache, ClassicNode node, long most)
    {
        int discarded = 0;
        Lock(node);
        for (long i = 0; i < most && node.Free.Last != 0; i++)
        {
            discarded = TakeOff(cache, node, discarded);
        }

        Unlock(node);
        return DestroyList(cpu, cache, discarded);
    }

    /// <summary>Sends objects of another node home: into that node's shared array as far as there is room, then into their slabs.</summary>
    private long SendHome(Cpu cpu, KmemCache cache, ClassicNode node, int home)
    {
        ArrayCache alien = node.Aliens[home];
        if (alien.IsNull || alien.Avail == 0)
        {
            return 0;
        }

        // Both nodes' locks, the lower number first.
        ClassicNode owner = StateOf(cache).Nodes[home];
        Lock(node.Id < home ? node : owner);
        Lock(node.Id < home ? owner : node);
        if (!owner.Shared.IsNull)
        {
            _ = owner.Shared.Transfer(alien, alien.Limit);
        }

        int discarded = FreeBlock(cache, owner, alien.Entries);
        alien.Avail = 0;
        Unlock(owner);
        Unlock(node);
        return DestroyList(cpu, cache, discarded);
    }

    /// <summary>Empties the arrays of a cache (<c>drain_cpu_caches()</c>): those of all CPUs, which no other thread may drive meanwhile, or of this one, and those of nodes.</summary>
    private void DrainArrays(Cpu cpu, KmemCache cache, bool ofAllCpus)
    {
        ClassicCache state = StateOf(cache);
        foreach (Cpu other in _machine.Cpus)
        {
            ArrayCache array = cache.Cpus[other.Id].Array;
            if (!array.IsNull && (ofAllCpus || ReferenceEquals(other, cpu)))
            {
                _ = DrainEntries(cpu, cache, state.Nodes[other.Node.Id], array, array.Avail);
            }
        }

        foreach (ClassicNode? node in state.Nodes)
        {
            for (int home = 0; node is not null && home < node.Aliens.Length; home++)
            {
                _ = SendHome(cpu, cache, node, home);
            }
        }

        foreach (ClassicNode? node in state.Nodes)
        {
            if (node is not null && !node.Shared.IsNull)
            {
                _ = DrainEntries(cpu, cache, node, node.Shared, node.Shared.Limit);
            }
        }
    }
}
