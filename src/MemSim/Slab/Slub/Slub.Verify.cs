using MemSim.Observability;

namespace MemSim.Slab;

/// <content>Every slab is where its state says, and the counts agree.</content>
internal sealed unsafe partial class Slub
{
    public override void Verify(KmemCache cache, IReadOnlyList<int> slabs)
    {
        HashSet<int> seen = [];
        for (int cpu = 0; cpu < _machine.Cpus.Count; cpu++)
        {
            VerifyCpu(cache, cpu, seen);
        }

        foreach (SlubNode node in cache.Nodes)
        {
            VerifyList(cache, node, node.Partial, "partial", seen);
            VerifyList(cache, node, node.Full, "full", seen);
        }

        long objects = 0;
        foreach (int head in slabs)
        {
            ref SlabPage slab = ref _memory[head];
            objects += slab.Objects;
            bool onNoList = slab.FreeHead == SlabPage.End && !cache.IsDebugged && (slab.State & SlabPage.Frozen) == 0;
            if (!seen.Contains(head) && !onNoList)
            {
                Fail(cache, $"the slab at pfn 0x{head:x} has {slab.Objects - slab.InUse} free objects but is on no list");
            }

            if (onNoList && seen.Contains(head))
            {
                Fail(cache, $"the slab at pfn 0x{head:x} is full but on a list");
            }
        }

        if (cache.Nodes.Sum(n => n.Slabs) != slabs.Count || cache.Nodes.Sum(n => n.Objects) != objects)
        {
            Fail(cache, $"nr_slabs={cache.Nodes.Sum(n => n.Slabs)} and total_objects={cache.Nodes.Sum(n => n.Objects)}, but {slabs.Count} slabs with {objects} objects exist");
        }
    }

    public override int FreeBeyondSlab(KmemCache cache, int head)
    {
        for (int cpu = 0; cpu < _machine.Cpus.Count; cpu++)
        {
            CpuSlab* c = cache.Cpus + cpu;
            if (c->Slab == head)
            {
                int count = 0;
                for (uint i = c->FreeHead; i != SlabPage.End && count <= _memory[head].Objects; i = c->Links[i])
                {
                    count++;
                }

                return count;
            }
        }

        return 0;
    }

    private static void Fail(KmemCache cache, string what) => BugReporter.Corrupt($"cache {cache.Name}: {what}");

    private void VerifyCpu(KmemCache cache, int cpu, HashSet<int> seen)
    {
        CpuSlab* c = cache.Cpus + cpu;
        if (c->Slab != 0)
        {
            VerifySlabOfCpu(cache, cpu, c->Slab, seen);
            if (c->Base != _memory[c->Slab].Base || c->Links != _memory[c->Slab].Links)
            {
                Fail(cache, $"CPU {cpu} has a stale copy of its slab at pfn 0x{c->Slab:x}");
            }
        }

        int left = c->Partial == 0 ? 0 : _memory[c->Partial].Count;
        for (int head = c->Partial; head != 0; head = _memory[head].Next)
        {
            VerifySlabOfCpu(cache, cpu, head, seen);
            if (_memory[head].Count != left--)
            {
                Fail(cache, $"the partial list of CPU {cpu} counts {_memory[head].Count} slabs from pfn 0x{head:x} on, not {left + 1}");
            }
        }
    }

    private void VerifySlabOfCpu(KmemCache cache, int cpu, int head, HashSet<int> seen)
    {
        ref SlabPage slab = ref _memory[head];
        if (!seen.Add(head) || (slab.State & SlabPage.Frozen) == 0 || slab.Cpus != cache.Cpus || slab.Listed != 0)
        {
            Fail(cache, $"CPU {cpu} holds the slab at pfn 0x{head:x}, which is not its own alone");
        }
    }

    private void VerifyList(KmemCache cache, SlubNode node, in SlabList list, string name, HashSet<int> seen)
    {
        int count = 0;
        int previous = 0;
        for (int head = list.First; head != 0; head = _memory[head].Next)
        {
            ref SlabPage slab = ref _memory[head];
            if (slab.Prev != previous || slab.Cpus != cache.Cpus || slab.Node != node.Id || slab.Listed == 0)
            {
                Fail(cache, $"list corruption at pfn 0x{head:x} in the {name} list of node {node.Id}");
            }

            if (!seen.Add(head) || (slab.State & SlabPage.Frozen) != 0 || slab.FreeHead == SlabPage.End != (name == "full"))
            {
                Fail(cache, $"the slab at pfn 0x{head:x} with {slab.InUse} of {slab.Objects} objects in use does not belong in the {name} list of node {node.Id}");
            }

            previous = head;
            count++;
        }

        if (count != list.Count || list.Last != previous)
        {
            Fail(cache, $"nr_{name}={list.Count} on node {node.Id} but the list holds {count}");
        }
    }
}
