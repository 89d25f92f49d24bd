namespace MemSim.Slab;

/// <content>Caches that are debugged: no CPU slab, one object at a time under the node's lock, full slabs on a list of their own.</content>
internal sealed partial class Slub
{
    private ulong AllocDebugged(Cpu cpu, KmemCache cache, Gfp gfp, int node)
    {
        for (; ; )
        {
            int head = FindPartialDebugged(cpu, cache, gfp, node);
            bool isNew = head == 0;
            if (isNew)
            {
                head = NewSlab(cpu, cache, gfp, node);
                if (head == 0)
                {
                    return 0;
                }
            }

            ref SlabPage slab = ref _memory[head];
            uint wanted = slab.FreeHead;
            if (!isNew && wanted != SlabPage.End)
            {
                // Before anything changes: a report leaves the machine as it was.
                _allocator.Debug.CheckFree(cpu, cache, head, wanted);
            }

            SlubNode owner = cache.Nodes[slab.Node];
            Lock(owner);
            if (!isNew && (slab.Listed == 0 || slab.FreeHead != wanted || wanted == SlabPage.End || !slab.IsOf(cache)))
            {
                Unlock(owner); // another CPU was faster
                continue;
            }

            uint index = slab.FreeHead;
            slab.FreeHead = slab.Links[index];
            slab.Links[index] = SlabPage.Allocated;
            slab.InUse++;
            bool full = slab.InUse == slab.Objects;
            if (isNew && !full)
            {
                owner.Partial.AddFirst(_memory, head);
            }
            else if (full)
            {
                if (!isNew)
                {
                    owner.Partial.Remove(_memory, head);
                }

                owner.Full.AddFirst(_memory, head);
            }

            Unlock(owner);

            _allocator.Debug.Handed(cpu, cache, head, index);
            return slab.AddressOf(index);
        }
    }

    private int FindPartialDebugged(Cpu cpu, KmemCache cache, Gfp gfp, int node)
    {
        int first = node < 0 ? cpu.Node.Id : node;
        for (int i = 0; i < cache.Nodes.Length; i++)
        {
            SlubNode candidate = cache.Nodes[(first + i) % cache.Nodes.Length];
            if (i != 0 && (node >= 0 || candidate.Partial.Count <= cache.MinPartial))
            {
                continue;
            }

            Lock(candidate);
            int found = candidate.Partial.First;
            while (found != 0 && !Suits(cpu, found, gfp, -1))
            {
                found = _memory[found].Next;
            }

            Unlock(candidate);
            if (found != 0)
            {
                return found;
            }
        }

        return 0;
    }

    private void FreeDebugged(Cpu cpu, KmemCache cache, int head, uint index)
    {
        if (!_allocator.Debug.CheckFreed(cpu, cache, head, index))
        {
            return;
        }

        ref SlabPage slab = ref _memory[head];
        SlubNode node = cache.Nodes[slab.Node];
        Lock(node);
        ushort prior = slab.FreeHead;
        slab.Links[index] = prior;
        slab.FreeHead = (ushort)index;
        slab.InUse--;
        bool empty = slab.InUse == 0 && node.Partial.Count >= cache.MinPartial;
        if (prior == SlabPage.End)
        {
            node.Full.Remove(_memory, head);
            if (!empty)
            {
                node.Partial.AddLast(_memory, head);
            }
        }
        else if (empty)
        {
            node.Partial.Remove(_memory, head);
        }

        Unlock(node);
        if (empty)
        {
            Discard(cpu, cache, head);
        }
    }
}
