using MemSim.Diagnostics;
using MemSim.Pages;

namespace MemSim.Slab;

/// <summary>Checks every invariant of the slab layer: objects inside their slab and apart, links and counts equal, tables consistent, each slab where its state says.</summary>
internal sealed class SlabVerifier
{
    private readonly SlabAllocator _allocator;
    private readonly SlabMemory _memory;
    private readonly Machine _machine;

    public SlabVerifier(SlabAllocator allocator)
    {
        _allocator = allocator;
        _memory = allocator.Memory;
        _machine = allocator.Machine;
    }

    public void Verify()
    {
        Dictionary<int, List<int>> slabs = [];
        long[] reclaimable = new long[_machine.Nodes[^1].Id + 1];
        long[] unreclaimable = new long[_machine.Nodes[^1].Id + 1];
        for (int pfn = 0; pfn < (long)_memory.Frames; pfn++)
        {
            if ((pfn & ((1 << PageGeometry.MaxOrder) - 1)) == 0 && _machine.ZoneTable.IsNeverUsed(pfn))
            {
                pfn += (1 << PageGeometry.MaxOrder) - 1;
                continue;
            }

            int head = _memory.HeadOf(pfn);
            if (head == 0)
            {
                ref PageFrame frame = ref _machine.Frames.Array[pfn];
                if (frame.IsInUse && frame.IsSlab)
                {
                    BugReporter.Corrupt($"pfn 0x{pfn:x} is marked PG_slab but belongs to no slab");
                }

                if (LargeObjects.Is(_machine, pfn))
                {
                    unreclaimable[_machine.Zones[frame.ZoneId].Node.Id] += 1L << frame.Order;
                }

                continue;
            }

            if (head != pfn)
            {
                BugReporter.Corrupt($"pfn 0x{pfn:x} says it belongs to the slab at pfn 0x{head:x}, which does not reach so far");
            }

            KmemCache cache = VerifySlab(head);
            ref SlabPage slab = ref _memory[head];
            if (!slabs.TryGetValue(slab.Cache, out List<int>? list))
            {
                slabs[slab.Cache] = list = [];
            }

            list.Add(head);
            ((cache.Flags & SlabFlags.ReclaimAccount) != 0 ? reclaimable : unreclaimable)[slab.Node] += 1L << slab.Order;
            pfn += (1 << slab.Order) - 1;
        }

        foreach (KmemCache cache in _allocator.Caches)
        {
            _allocator.Backend.Verify(cache, slabs.GetValueOrDefault(cache.Id) ?? []);
        }

        foreach (Node node in _machine.Nodes)
        {
            if (reclaimable[node.Id] != _allocator.Pages.Reclaimable(node.Id) || unreclaimable[node.Id] != _allocator.Pages.Unreclaimable(node.Id))
            {
                BugReporter.Corrupt($"{node}: nr_slab_reclaimable={_allocator.Pages.Reclaimable(node.Id)} and nr_slab_unreclaimable={_allocator.Pages.Unreclaimable(node.Id)}, "
                    + $"but the slabs have {reclaimable[node.Id]} and {unreclaimable[node.Id]} pages");
            }
        }
    }

    private KmemCache VerifySlab(int head)
    {
        ref SlabPage slab = ref _memory[head];
        ref PageFrame frame = ref _machine.Frames.Array[head];
        if (!_allocator.IsCache(slab.Cache))
        {
            BugReporter.Corrupt($"the slab at pfn 0x{head:x} belongs to cache number {slab.Cache}, which does not exist");
        }

        KmemCache cache = _allocator.CacheOf(slab.Cache);
        if (!frame.IsSlab || frame.State != PageFrame.AllocatedState(slab.Order))
        {
            BugReporter.Corrupt($"cache {cache.Name}: the slab at pfn 0x{head:x} is not an allocated block of order {slab.Order} marked PG_slab");
        }

        for (int pfn = head; pfn < head + (1 << slab.Order); pfn++)
        {
            if (_memory.HeadOf(pfn) != head)
            {
                BugReporter.Corrupt($"cache {cache.Name}: pfn 0x{pfn:x} lies in the slab at pfn 0x{head:x} but says 0x{_memory.HeadOf(pfn):x}");
            }
        }

        ulong start = _memory.FrameZero + ((ulong)head << PageGeometry.PageShift);
        ulong end = start + ((ulong)PageGeometry.PageSize << slab.Order);
        if (slab.Base < start || slab.AddressOf(slab.Objects) - (ulong)cache.Layout.RedLeftPad > end || slab.Size != cache.Size || !slab.IsOf(cache)
            || (cache.Align > 1 && ((slab.Base | slab.Size) & (ulong)(Math.Min(cache.Align, PageGeometry.PageSize) - 1)) != 0))
        {
            BugReporter.Corrupt($"cache {cache.Name}: the objects of the slab at pfn 0x{head:x} overlap, leave it, or are not aligned");
        }

        VerifyLinks(cache, head);
        return cache;
    }

    /// <summary>Each object is handed out or on exactly one chain of links; the chains that start nowhere else are the slab's and its CPU's.</summary>
    private void VerifyLinks(KmemCache cache, int head)
    {
        ref SlabPage slab = ref _memory[head];
        bool[] pointed = new bool[slab.Objects];
        int live = 0;
        for (int i = 0; i < slab.Objects; i++)
        {
            ushort link = slab.Links[i];
            if (link == SlabPage.Allocated)
            {
                live++;
            }
            else if (link != SlabPage.End)
            {
                if (link >= slab.Objects || pointed[link] || slab.Links[link] == SlabPage.Allocated)
                {
                    BugReporter.Corrupt($"cache {cache.Name}: free object {i} of the slab at pfn 0x{head:x} leads to {link}, which is in use, taken or none");
                }

                pointed[link] = true;
            }
        }

        int listed = 0;
        for (uint i = slab.FreeHead; i != SlabPage.End; i = slab.Links[i])
        {
            if (i >= slab.Objects || ++listed > slab.Objects || slab.Links[i] == SlabPage.Allocated)
            {
                BugReporter.Corrupt($"cache {cache.Name}: the free list of the slab at pfn 0x{head:x} is damaged");
            }
        }

        if (listed != slab.Objects - slab.InUse)
        {
            BugReporter.Corrupt($"cache {cache.Name}: the slab at pfn 0x{head:x} says {slab.InUse} of {slab.Objects} objects are in use, but {listed} are on its free list");
        }

        int ofCpus = _allocator.Backend.FreeBeyondSlab(cache, head);
        if (live + listed + ofCpus != slab.Objects)
        {
            BugReporter.Corrupt($"cache {cache.Name}: of {slab.Objects} objects of the slab at pfn 0x{head:x} {live} are handed out, {listed} free and {ofCpus} in lists of CPUs");
        }
    }
}
