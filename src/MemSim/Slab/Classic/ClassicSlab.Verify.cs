using MemSim.Diagnostics;

namespace MemSim.Slab;

/// <content>Counts for the views; every slab is where its state says, every object in an array is a free one of a slab of this cache.</content>
internal sealed partial class ClassicSlab
{
    public override CacheCounts Count(KmemCache cache)
    {
        ClassicFigures figures = StateOf(cache).Figures;
        CacheCounts counts = new() { Limit = figures.Limit, BatchCount = figures.BatchCount, SharedFactor = figures.Shared, ActiveSlabs = 0 };
        foreach (ClassicNode? node in StateOf(cache).Nodes)
        {
            if (node is null)
            {
                continue;
            }

            counts.Slabs += node.TotalSlabs;
            counts.PartialSlabs += node.Partial.Count;
            counts.TotalObjects += node.TotalSlabs * cache.Layout.Objects;
            counts.FreeInPartial += node.FreeObjects;
            counts.SharedAvailable += node.Shared.IsNull ? 0 : node.Shared.Avail;
            counts.ActiveSlabs += node.TotalSlabs - node.Free.Count;
            for (int head = node.Partial.First; head != 0; head = _memory[head].Next)
            {
                counts.UsedInPartial += _memory[head].InUse;
            }
        }

        return counts;
    }

    public override int FreeBeyondSlab(KmemCache cache, int head)
    {
        // Ends of chains: one of the slab's own list, all others are objects in arrays.
        ref SlabPage slab = ref _memory[head];
        int ends = slab.Links.Count(slab.Objects, SlabPage.End);
        return slab.FreeHead == SlabPage.End ? ends : ends - 1;
    }

    public override void Verify(KmemCache cache, IReadOnlyList<int> slabs)
    {
        ClassicCache state = StateOf(cache);
        Dictionary<int, int> inArrays = [];
        HashSet<SlabLink> seen = [];
        foreach (Cpu cpu in _machine.Cpus)
        {
            VerifyArray(cache, cache.Cpus[cpu.Id].Array, cpu.Node.Id, $"the array of CPU {cpu.Id}", inArrays, seen);
        }

        HashSet<int> listed = [];
        foreach (ClassicNode? node in state.Nodes)
        {
            if (node is null)
            {
                continue;
            }

            VerifyArray(cache, node.Shared, node.Id, $"the shared array of node {node.Id}", inArrays, seen);
            for (int home = 0; home < node.Aliens.Length; home++)
            {
                VerifyArray(cache, node.Aliens[home], home, $"node {node.Id}'s array for node {home}", inArrays, seen);
            }

            long free = VerifyList(cache, node, node.Full, "full", listed) + VerifyList(cache, node, node.Partial, "partial", listed) + VerifyList(cache, node, node.Free, "free", listed);
            int count = node.Full.Count + node.Partial.Count + node.Free.Count;
            if (free != node.FreeObjects || count != node.TotalSlabs)
            {
                Fail(cache, $"node {node.Id} counts {node.TotalSlabs} slabs and {node.FreeObjects} free objects, but its lists hold {count} and {free}");
            }
        }

        foreach (int head in slabs)
        {
            VerifySlab(cache, state, head, inArrays.GetValueOrDefault(head));
            if (!listed.Contains(head))
            {
                Fail(cache, $"the slab at pfn 0x{head:x} is on no list");
            }
        }

        if (listed.Count != slabs.Count)
        {
            Fail(cache, $"the lists hold {listed.Count} slabs, but {slabs.Count} exist");
        }
    }

    private static void Fail(KmemCache cache, string what) => BugReporter.Corrupt($"cache {cache.Name}: {what}");

    private void VerifyArray(KmemCache cache, ArrayCache array, int node, string name, Dictionary<int, int> inArrays, HashSet<SlabLink> seen)
    {
        if (array.IsNull)
        {
            return;
        }

        if (array.Avail < 0 || array.Avail > array.Limit)
        {
            Fail(cache, $"{name} has {array.Avail} objects and room for {array.Limit}");
        }

        foreach (ArrayEntry entry in array.Entries)
        {
            int head = _memory.SlabAt(entry.Address);
            if (head == 0 || _memory[head].Cache != cache.Id || _memory[head].Node != node || !_memory[head].TryIndex(entry.Address, out uint index)
                || entry.Link != _memory[head].Links.At(index) || entry.Link.State != SlabPage.End || !seen.Add(entry.Link))
            {
                Fail(cache, $"{name} holds {entry.Address:x16}, which is no free object of this cache on node {node}, or is held twice");
            }

            inArrays[head] = inArrays.GetValueOrDefault(head) + 1;
        }
    }

    private long VerifyList(KmemCache cache, ClassicNode node, in SlabList list, string name, HashSet<int> listed)
    {
        long free = 0;
        int count = 0;
        int previous = 0;
        for (int head = list.First; head != 0; head = _memory[head].Next)
        {
            ref SlabPage slab = ref _memory[head];
            string belongs = slab.InUse == 0 ? "free" : slab.InUse == slab.Objects ? "full" : "partial";
            if (slab.Prev != previous || !slab.IsOf(cache) || slab.Node != node.Id || !listed.Add(head))
            {
                Fail(cache, $"list corruption at pfn 0x{head:x} in the {name} list of node {node.Id}");
            }

            if (belongs != name)
            {
                Fail(cache, $"the slab at pfn 0x{head:x} with {slab.InUse} of {slab.Objects} objects in use is on the {name} list of node {node.Id}, not on the {belongs} one");
            }

            free += slab.Objects - slab.InUse;
            previous = head;
            count++;
        }

        if (count != list.Count || list.Last != previous)
        {
            Fail(cache, $"node {node.Id} counts {list.Count} {name} slabs but the list holds {count}");
        }

        return free;
    }

    private void VerifySlab(KmemCache cache, ClassicCache state, int head, int inArrays)
    {
        ref SlabPage slab = ref _memory[head];
        ClassicFigures figures = state.Figures;
        ulong start = _memory.FrameZero + ((ulong)head << PageGeometry.PageShift);
        ulong offset = slab.Base - start - (ulong)cache.Layout.RedLeftPad;
        ulong end = start + ((ulong)PageGeometry.PageSize << slab.Order) - (ulong)(figures.Place == FreelistPlace.OnSlab ? figures.FreelistBytes : 0);
        if (offset != (ulong)(slab.Count * figures.ColourOffset) || (slab.Count != 0 && slab.Count >= figures.Colours) || slab.AddressOf(slab.Objects) - (ulong)cache.Layout.RedLeftPad > end)
        {
            Fail(cache, $"the slab at pfn 0x{head:x} with colour {slab.Count} has its first object at offset {offset}, or runs into its list of free objects");
        }

        if (figures.Place == FreelistPlace.OffSlab == state.FreelistOf(head).IsNull)
        {
            Fail(cache, $"the slab at pfn 0x{head:x} should {(figures.Place == FreelistPlace.OffSlab ? "" : "not ")}have its list of free objects outside");
        }

        int free = FreeBeyondSlab(cache, head);
        if (free != inArrays)
        {
            Fail(cache, $"{free} objects of the slab at pfn 0x{head:x} should be in arrays, {inArrays} are");
        }
    }
}
