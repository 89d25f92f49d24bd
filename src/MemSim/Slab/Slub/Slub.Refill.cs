namespace MemSim.Slab;

/// <content>Where CPUs have no current slabs (7.0): objects straight from the nodes' partial slabs, else from new ones.</content>
internal sealed partial class Slub
{
    /// <summary>Takes several objects of slabs, past the sheaves: of this node, of others, of new slabs (<c>refill_objects()</c>).</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="cache">The cache.</param>
    /// <param name="gfp">What the request may do.</param>
    /// <param name="to">Receives the addresses: as many are wanted as it has room for.</param>
    /// <returns>How many; fewer than wanted only without memory.</returns>
    private int TakeManyFromSlabs(Cpu cpu, KmemCache cache, Gfp gfp, Span<VirtualAddress> to)
    {
        int taken = 0;
        if (_hasCpuSlabs)
        {
            while (taken < to.Length && AllocFromCurrent(cpu, cache, gfp, -1) is ulong address and not 0)
            {
                to[taken++] = new VirtualAddress(address);
            }

            return taken;
        }

        taken = TakePartialObjects(cpu, cache, cache.Nodes[cpu.Node.Id], gfp, to);
        Zone? previous = null;
        foreach (Zone zone in cpu.Lists.Zonelists[(int)(cache.Layout.AllocFlags & Gfp.ZoneMask)].Zones)
        {
            if (taken == to.Length)
            {
                return taken;
            }

            bool isNew = zone.Node.Id != cpu.Node.Id && zone.Node != previous?.Node;
            previous = zone;
            if (isNew && cache.Nodes[zone.Node.Id].Partial.Count > cache.MinPartial)
            {
                taken += TakePartialObjects(cpu, cache, cache.Nodes[zone.Node.Id], gfp, to[taken..]);
            }
        }

        while (taken < to.Length)
        {
            int head = NewSlab(cpu, cache, gfp, -1);
            if (head == 0)
            {
                break;
            }

            taken += TakeFromNewSlab(cache, head, to[taken..]);
        }

        return taken;
    }

    /// <summary>Takes one object of slabs, on a node or, with -1, on the nearest that has one (<c>___slab_alloc()</c>).</summary>
    private ulong TakeOneFromSlabs(Cpu cpu, KmemCache cache, Gfp gfp, int node)
    {
        ulong address = TakePartialObject(cpu, cache.Nodes[node < 0 ? cpu.Node.Id : node], gfp);
        Zone? previous = null;
        foreach (Zone zone in cpu.Lists.Zonelists[(int)(cache.Layout.AllocFlags & Gfp.ZoneMask)].Zones)
        {
            if (address != 0 || node >= 0)
            {
                break;
            }

            if (zone.Node != previous?.Node && zone.Node.Id != cpu.Node.Id && cache.Nodes[zone.Node.Id].Partial.Count > cache.MinPartial)
            {
                address = TakePartialObject(cpu, cache.Nodes[zone.Node.Id], gfp);
            }

            previous = zone;
        }

        if (address == 0 && NewSlab(cpu, cache, gfp, node) is int head and not 0)
        {
            VirtualAddress first = default;
            _ = TakeFromNewSlab(cache, head, new Span<VirtualAddress>(ref first));
            address = first.Value;
        }

        return address;
    }

    private ulong TakePartialObject(Cpu cpu, SlubNode node, Gfp gfp)
    {
        if (node.Partial.Count == 0)
        {
            return 0;
        }

        VirtualAddress first = default;
        Lock(node);
        int head = node.Partial.First;
        while (head != 0 && !Suits(cpu, head, gfp, -1))
        {
            head = _memory[head].Next;
        }

        if (head != 0)
        {
            ref SlabPage slab = ref _memory[head];
            Lock(ref slab);
            _ = TakeObjects(ref slab, new Span<VirtualAddress>(ref first));
            if (slab.FreeHead == SlabPage.End)
            {
                node.Partial.Remove(_memory, head);
            }

            Unlock(ref slab);
        }

        Unlock(node);
        return first.Value;
    }

    /// <summary>
    /// Takes partial slabs of a node until their free objects suffice and empties their lists, the slab taken last first; what is too many goes back
    /// (<c>__refill_objects_node()</c>).
    /// </summary>
    private int TakePartialObjects(Cpu cpu, KmemCache cache, SlubNode node, Gfp gfp, Span<VirtualAddress> to)
    {
        if (node.Partial.Count == 0)
        {
            return 0;
        }

        int isolated = 0;
        int free = 0;
        Lock(node);
        for (int head = node.Partial.First; head != 0 && free < to.Length;)
        {
            ref SlabPage slab = ref _memory[head];
            int next = slab.Next;
            if (Suits(cpu, head, gfp, -1))
            {
                node.Partial.Remove(_memory, head);
                free += slab.Objects - slab.InUse;
                slab.Next = isolated;
                isolated = head;
            }

            head = next;
        }

        Unlock(node);
        int taken = 0;
        while (isolated != 0)
        {
            int head = isolated;
            ref SlabPage slab = ref _memory[head];
            isolated = slab.Next;
            slab.Next = 0;
            if (taken == to.Length)
            {
                ReturnPartial(cpu, cache, node, head);
                continue;
            }

            Lock(ref slab);
            taken += TakeObjects(ref slab, to[taken..]);
            uint first = slab.FreeHead;
            int count = slab.Objects - slab.InUse;
            slab.FreeHead = SlabPage.End;
            slab.InUse = slab.Objects;
            Unlock(ref slab);
            if (count != 0)
            {
                uint last = first;
                while (slab.Links[last] != SlabPage.End)
                {
                    last = slab.Links[last];
                }

                FreeChain(cpu, cache, head, first, last, count);
            }
        }

        return taken;
    }

    /// <summary>Puts a slab that was not needed after all back in front, or frees it.</summary>
    private void ReturnPartial(Cpu cpu, KmemCache cache, SlubNode node, int head)
    {
        Lock(node);
        bool empty = _memory[head].InUse == 0 && node.Partial.Count >= cache.MinPartial;
        if (!empty)
        {
            node.Partial.AddFirst(_memory, head);
        }

        Unlock(node);
        if (empty)
        {
            Discard(cpu, cache, head);
        }
    }

    /// <summary>Takes the first objects of a slab that nobody else knows of; with some left it becomes the first of its node's partial ones (<c>alloc_from_new_slab()</c>).</summary>
    private int TakeFromNewSlab(KmemCache cache, int head, Span<VirtualAddress> to)
    {
        ref SlabPage slab = ref _memory[head];
        int taken = TakeObjects(ref slab, to);
        if (slab.FreeHead != SlabPage.End)
        {
            SlubNode node = cache.Nodes[slab.Node];
            Lock(node);
            node.Partial.AddFirst(_memory, head);
            Unlock(node);
        }

        return taken;
    }

    /// <summary>Takes objects off a slab's own list; they are allocated ones then.</summary>
    private static int TakeObjects(ref SlabPage slab, Span<VirtualAddress> to)
    {
        int taken = 0;
        while (taken < to.Length && slab.FreeHead != SlabPage.End)
        {
            uint index = slab.FreeHead;
            slab.FreeHead = slab.Links[index];
            slab.Links[index] = SlabPage.Allocated;
            slab.InUse++;
            to[taken++] = new VirtualAddress(slab.AddressOf(index));
        }

        return taken;
    }
}
