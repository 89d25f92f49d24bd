namespace MemSim.Slab;

/// <content>Where slabs come from and go to: the CPU's partial list, the nodes' lists, the page allocator.</content>
internal sealed partial class Slub
{
    /// <summary>Takes a partial slab of a node, else makes a new slab, and makes it the CPU's current one.</summary>
    private ulong AllocFromNodes(Cpu cpu, KmemCache cache, ref CpuSlab c, Gfp gfp, int node)
    {
        if (cache.IsDebugged)
        {
            return AllocDebugged(cpu, cache, gfp, node);
        }

        int head = TakePartial(cpu, cache, gfp, node);
        if (head == 0)
        {
            head = NewSlab(cpu, cache, gfp, node);
            if (head == 0)
            {
                return 0;
            }

            ref SlabPage slab = ref _memory[head];
            slab.State |= SlabPage.Frozen;
            if (c.Slab != 0)
            {
                // Reclaim inside the page allocator used this CPU's slab layer.
                Deactivate(cpu, cache, ref c);
            }
        }
        else if (c.Slab != 0)
        {
            Deactivate(cpu, cache, ref c);
        }

        Attach(ref c, head);
        _ = TakeSlabFreelist(ref c);
        ulong address = Pop(ref c);
        if (!Suits(cpu, head, gfp, -1))
        {
            Deactivate(cpu, cache, ref c);
        }

        return address;
    }

    /// <summary>Takes partial slabs of the nearest node that has some: one as the CPU's current slab, more into its partial list (<c>get_partial()</c>).</summary>
    private int TakePartial(Cpu cpu, KmemCache cache, Gfp gfp, int node)
    {
        int head = TakePartialOf(cpu, cache, cache.Nodes[node < 0 ? cpu.Node.Id : node], gfp);
        if (head != 0 || node >= 0)
        {
            return head;
        }

        // Other nodes only give what they have beyond their minimum.
        Zone? previous = null;
        foreach (Zone zone in cpu.Lists.Zonelists[(int)(cache.Layout.AllocFlags & Gfp.ZoneMask)].Zones)
        {
            if (previous is not null && zone.Node == previous.Node)
            {
                continue;
            }

            previous = zone;
            SlubNode other = cache.Nodes[zone.Node.Id];
            if (other.Partial.Count > cache.MinPartial)
            {
                head = TakePartialOf(cpu, cache, other, gfp);
                if (head != 0)
                {
                    return head;
                }
            }
        }

        return 0;
    }

    private int TakePartialOf(Cpu cpu, KmemCache cache, SlubNode node, Gfp gfp)
    {
        if (node.Partial.Count == 0)
        {
            return 0;
        }

        int taken = 0;
        int kept = 0;
        Lock(node);
        for (int head = node.Partial.First; head != 0;)
        {
            ref SlabPage slab = ref _memory[head];
            int next = slab.Next;
            if (Suits(cpu, head, gfp, -1))
            {
                node.Partial.Remove(_memory, head);
                Lock(ref slab);
                slab.State |= SlabPage.Frozen;
                Unlock(ref slab);
                if (taken == 0)
                {
                    taken = head;
                }
                else
                {
                    PushCpuPartial(ref cache.CurrentSlabs[cpu.Id], head);
                    kept++;
                }

                if (cache.Layout.CpuPartial == 0 || kept > cache.Layout.CpuPartialSlabs / 2)
                {
                    break;
                }
            }

            head = next;
        }

        Unlock(node);
        return taken;
    }

    /// <summary>Puts a frozen slab into the CPU's partial list; when that is full, the list goes to the nodes first (<c>put_cpu_partial()</c>).</summary>
    private void PutCpuPartial(Cpu cpu, KmemCache cache, int head)
    {
        ref CpuSlab c = ref cache.CurrentSlabs[cpu.Id];
        int drained = c.Partial;
        if (drained == 0 || _memory[drained].Count < cache.Layout.CpuPartialSlabs)
        {
            PushCpuPartial(ref c, head);
            return;
        }

        c.Partial = 0;
        PushCpuPartial(ref c, head);
        Unfreeze(cpu, cache, drained);
    }

    /// <summary>Puts a frozen slab in front of the CPU's partial ones, however many these are.</summary>
    private void PushCpuPartial(ref CpuSlab c, int head)
    {
        ref SlabPage slab = ref _memory[head];
        slab.Count = (ushort)((c.Partial == 0 ? 0 : _memory[c.Partial].Count) + 1);
        slab.Next = c.Partial;
        c.Partial = head;
    }

    /// <summary>Gives a list of frozen slabs to their nodes; empty ones beyond the minimum are freed (<c>__unfreeze_partials()</c>).</summary>
    private void Unfreeze(Cpu cpu, KmemCache cache, int list)
    {
        int discarded = 0;
        for (int head = list; head != 0;)
        {
            ref SlabPage slab = ref _memory[head];
            int next = slab.Next;
            SlubNode node = cache.Nodes[slab.Node];
            Lock(node);
            Lock(ref slab);
            slab.State &= unchecked((byte)~SlabPage.Frozen);
            bool empty = slab.InUse == 0 && node.Partial.Count >= cache.MinPartial;
            Unlock(ref slab);
            if (empty)
            {
                slab.Next = discarded;
                discarded = head;
            }
            else
            {
                node.Partial.AddLast(_memory, head);
            }

            Unlock(node);
            head = next;
        }

        while (discarded != 0)
        {
            int next = _memory[discarded].Next;
            Discard(cpu, cache, discarded);
            discarded = next;
        }
    }

    /// <summary>Takes the current slab away from the CPU, its free objects with it (<c>deactivate_slab()</c>).</summary>
    private void Deactivate(Cpu cpu, KmemCache cache, ref CpuSlab c)
    {
        int head = c.Slab;
        uint first = c.FreeHead;
        Forget(ref c);
        ref SlabPage slab = ref _memory[head];
        SlubNode node = cache.Nodes[slab.Node];
        Lock(node);
        Lock(ref slab);
        bool remoteFrees = slab.FreeHead != SlabPage.End;
        if (first != SlabPage.End)
        {
            uint last = first;
            int count = 1;
            while (slab.Links[last] != SlabPage.End)
            {
                last = slab.Links[last];
                count++;
            }

            slab.Links[last] = slab.FreeHead;
            slab.FreeHead = (ushort)first;
            slab.InUse -= (ushort)count;
        }

        slab.State &= unchecked((byte)~SlabPage.Frozen);
        bool empty = slab.InUse == 0 && node.Partial.Count >= cache.MinPartial;
        bool full = slab.FreeHead == SlabPage.End;
        Unlock(ref slab);
        if (!empty && !full)
        {
            if (remoteFrees)
            {
                node.Partial.AddLast(_memory, head);
            }
            else
            {
                node.Partial.AddFirst(_memory, head);
            }
        }

        Unlock(node);
        if (empty)
        {
            Discard(cpu, cache, head);
        }
    }

    /// <summary>Makes a slab: of the preferred order without pressing for it, else of the smallest that holds an object (<c>allocate_slab()</c>).</summary>
    /// <returns>Its first frame, or 0. Its objects are free and all on the slab's own list.</returns>
    private int NewSlab(Cpu cpu, KmemCache cache, Gfp gfp, int node)
    {
        CacheLayout layout = cache.Layout;
        Gfp flags = SlabPages.PageFlagsOf(gfp);
        Gfp gentle = (flags | Gfp.NoWarn | Gfp.NoRetry) & ~Gfp.NoFail;
        if ((gentle & Gfp.DirectReclaim) != 0 && layout.Order > layout.MinOrder)
        {
            gentle = (gentle | Gfp.NoMemAlloc) & ~Gfp.Reclaim;
        }

        int head = _pages.Get(cpu, cache, gentle, layout.Order, layout.Objects, layout.RedLeftPad, node);
        if (head == 0)
        {
            head = _pages.Get(cpu, cache, flags, layout.MinOrder, layout.MinObjects, layout.RedLeftPad, node);
            if (head == 0)
            {
                return 0;
            }
        }

        ref SlabPage slab = ref _memory[head];
        bool sheaved = cache.BackendState is not null;
        slab.State |= cache.IsDebugged || sheaved ? (byte)0 : SlabPage.Plain;
        slab.ArrayNode = sheaved && (slab.State & SlabPage.FromReserves) == 0 ? slab.Node : SlabPage.NoNode;
        _allocator.Shuffle(cache, ref slab);
        try
        {
            _allocator.PrepareObjects(cpu, cache, head);
        }
        catch
        {
            // The constructor threw: there never was a slab.
            _pages.Give(cpu, cache, head);
            throw;
        }

        SlubNode owner = cache.Nodes[slab.Node];
        if (_parallel)
        {
            Interlocked.Increment(ref owner.Slabs);
            Interlocked.Add(ref owner.Objects, slab.Objects);
        }
        else
        {
            owner.Slabs++;
            owner.Objects += slab.Objects;
        }

        return head;
    }

    private void Discard(Cpu cpu, KmemCache cache, int head)
    {
        ref SlabPage slab = ref _memory[head];
        SlubNode node = cache.Nodes[slab.Node];
        if (_parallel)
        {
            Interlocked.Decrement(ref node.Slabs);
            Interlocked.Add(ref node.Objects, -slab.Objects);
        }
        else
        {
            node.Slabs--;
            node.Objects -= slab.Objects;
        }

        try
        {
            _allocator.CheckDiscarded(cpu, cache, head);
        }
        finally
        {
            _pages.Give(cpu, cache, head);
        }
    }
}
