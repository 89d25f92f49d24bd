using MemSim.Diagnostics;

namespace MemSim.Slab;

/// <content>Every slab is where its state says, and the counts agree.</content>
internal sealed partial class Slub
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

        if (SheavesOf(cache) is { } sheaves)
        {
            VerifySheaves(cache, sheaves, slabs);
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
        int beyond = InCurrentSlab(cache, head);
        if (SheavesOf(cache) is not null)
        {
            // Ends of chains: one of the slab's own list, one of its CPU's; all others are objects in sheaves.
            ref SlabPage slab = ref _memory[head];
            int ends = slab.Links.Count(slab.Objects, SlabPage.End);
            beyond += ends - (slab.FreeHead == SlabPage.End ? 0 : 1) - (beyond == 0 ? 0 : 1);
        }

        return beyond;
    }

    /// <summary>Free objects of a slab in the list of the CPU whose current one it is.</summary>
    private int InCurrentSlab(KmemCache cache, int head)
    {
        for (int cpu = 0; cpu < _machine.Cpus.Count; cpu++)
        {
            ref CpuSlab c = ref cache.CurrentSlabs[cpu];
            if (c.Slab == head)
            {
                int count = 0;
                for (uint i = c.FreeHead; i != SlabPage.End && count <= _memory[head].Objects; i = c.Links[i])
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
        ref CpuSlab c = ref cache.CurrentSlabs[cpu];
        if (c.Slab != 0)
        {
            VerifySlabOfCpu(cache, cpu, c.Slab, seen);
            if (c.Base != _memory[c.Slab].Base || !c.Links.IsSameAs(_memory[c.Slab].Links))
            {
                Fail(cache, $"CPU {cpu} has a stale copy of its slab at pfn 0x{c.Slab:x}");
            }
        }

        int left = c.Partial == 0 ? 0 : _memory[c.Partial].Count;
        for (int head = c.Partial; head != 0; head = _memory[head].Next)
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
        if (!seen.Add(head) || (slab.State & SlabPage.Frozen) == 0 || !slab.IsOf(cache) || slab.Listed != 0)
        {
            Fail(cache, $"CPU {cpu} holds the slab at pfn 0x{head:x}, which is not its own alone");
        }
    }

    /// <summary>Each object in a sheaf is a free one of this cache and in no other; sheaves in barns are full or empty; none is missing.</summary>
    private void VerifySheaves(KmemCache cache, SheafCache sheaves, IReadOnlyList<int> slabs)
    {
        HashSet<ulong> objects = [];
        HashSet<ArrayCache> seen = [];
        for (int cpu = 0; cpu < _machine.Cpus.Count; cpu++)
        {
            if (cache.Cpus[cpu].Array.IsNull || cache.Cpus[cpu].Slab != 0)
            {
                Fail(cache, $"CPU {cpu} has no main sheaf, or a current slab before it");
            }

            VerifySheaf(cache, cache.Cpus[cpu].Array, $"the main sheaf of CPU {cpu}", objects, seen);
            VerifySheaf(cache, sheaves.SpareOf(cpu), $"the spare sheaf of CPU {cpu}", objects, seen);
            VerifySheaf(cache, sheaves.RcuFreeOf(cpu), $"the sheaf of CPU {cpu} for kfree_rcu()", objects, seen);
        }

        foreach (ArrayCache sheaf in sheaves.Waiting.Concat(sheaves.Lent))
        {
            VerifySheaf(cache, sheaf, "a sheaf that waits for a grace period, or is lent,", objects, seen);
        }

        foreach (SheafBarn barn in sheaves.Barns)
        {
            int full = 0;
            for (ArrayCache sheaf = barn.FirstFull; !sheaf.IsNull; sheaf = sheaf.Next)
            {
                VerifySheaf(cache, sheaf, "a full sheaf of a barn", objects, seen);
                full++;
                if (sheaf.Avail == 0)
                {
                    Fail(cache, "an empty sheaf is among the full ones of a barn");
                }
            }

            int empty = 0;
            for (ArrayCache sheaf = barn.FirstEmpty; !sheaf.IsNull; sheaf = sheaf.Next)
            {
                VerifySheaf(cache, sheaf, "an empty sheaf of a barn", objects, seen);
                empty++;
                if (sheaf.Avail != 0)
                {
                    Fail(cache, $"a sheaf with {sheaf.Avail} objects is among the empty ones of a barn");
                }
            }

            if (full != barn.FullCount || empty != barn.EmptyCount)
            {
                Fail(cache, $"a barn counts {barn.FullCount} full and {barn.EmptyCount} empty sheaves but holds {full} and {empty}");
            }
        }

        int expected = 0;
        foreach (int head in slabs)
        {
            expected += FreeBeyondSlab(cache, head) - InCurrentSlab(cache, head);
        }

        if (objects.Count != expected)
        {
            Fail(cache, $"the sheaves hold {objects.Count} objects, but {expected} of the slabs are on no list");
        }
    }

    private void VerifySheaf(KmemCache cache, ArrayCache sheaf, string what, HashSet<ulong> objects, HashSet<ArrayCache> seen)
    {
        if (sheaf.IsNull)
        {
            return;
        }

        if (!seen.Add(sheaf) || sheaf.Avail < 0 || sheaf.Avail > sheaf.Limit || sheaf.Limit < cache.SheafCapacity)
        {
            Fail(cache, $"{what} is in two places, or holds {sheaf.Avail} of {sheaf.Limit} objects");
        }

        int own = sheaf.Home == 0 ? 0 : _memory.SlabAt(sheaf.Home);
        if (own != 0 && (!_memory[own].TryIndex(sheaf.Home, out uint place) || _memory[own].Links[place] != SlabPage.Allocated))
        {
            Fail(cache, $"{what} lies at {sheaf.Home:x}, which is no allocated object");
        }

        foreach (ArrayEntry entry in sheaf.Entries)
        {
            int head = _memory.SlabAt(entry.Address);
            if (head == 0 || _memory[head].Cache != cache.Id || !_memory[head].TryIndex(entry.Address, out uint index) || entry.Link != _memory[head].Links.At(index)
                || entry.Link.State != SlabPage.End || !objects.Add(entry.Address))
            {
                Fail(cache, $"{what} holds {entry.Address:x}, which is no free object of the cache, or in two places");
            }
        }
    }

    private void VerifyList(KmemCache cache, SlubNode node, in SlabList list, string name, HashSet<int> seen)
    {
        int count = 0;
        int previous = 0;
        for (int head = list.First; head != 0; head = _memory[head].Next)
        {
            ref SlabPage slab = ref _memory[head];
            if (slab.Prev != previous || !slab.IsOf(cache) || slab.Node != node.Id || slab.Listed == 0)
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
