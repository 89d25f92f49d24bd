using MemSim.Diagnostics;
using MemSim.Pages;
using MemSim.Zones;

namespace MemSim.Lru;

/// <content>Self-check.</content>
internal sealed partial class LruManager
{
    /// <summary>Checks that lists, flags and counters agree and that every page on a list is allocated.</summary>
    public void Verify()
    {
        VerifyBatches();
        if (Idle is not null && Idle.FirstOutOfUse(_frames) is var pfn and >= 0)
        {
            BugReporter.Corrupt($"pfn 0x{pfn:x} is not in use but has {Idle.FlagsOf(pfn)}: whoever frees a page forgets them");
        }

        if (!WasUsed)
        {
            // Frames of a recorded state say of themselves what they were there.
            return;
        }

        long[,] listed = new long[_zones.Length, LruVec.ListHeads];
        Dictionary<LruVec, long[]> own = [];
        foreach (LruVec vec in AllVecs())
        {
            own[vec] = new long[LruVec.ListHeads];
            if (!vec.IsUnlocked)
            {
                Fail(vec.Node, "lru_lock is held although nobody is inside");
            }

            for (LruList list = LruList.InactiveAnon; list < LruList.Unevictable; list++)
            {
                VerifyList(vec, list, listed, own[vec]);
            }

            if (vec.Generations is not null)
            {
                new GenerationVerifier(vec, _frames, Ages, OfPage).Verify(listed, own[vec], _machine.Frames.Count, vec.ByGeneration);
            }
        }

        VerifyFrames(listed, own);
        foreach (LruVec vec in _vecs)
        {
            VerifyCounters(vec, listed);
        }

        VerifyOwnSizes(own);
    }

    private static void Fail(Node node, string what) => BugReporter.Corrupt($"LRU of {node}: {what}");

    private void VerifyList(LruVec vec, LruList list, long[,] listed, long[] own)
    {
        int head = vec.Head(list);
        for (int previous = head; ;)
        {
            int pfn = _frames[previous].Next;
            if ((uint)pfn >= (ulong)_machine.Frames.Length || _frames[pfn].Prev != previous)
            {
                Fail(vec.Node, $"list corruption in {list}: 0x{previous:x} points to 0x{pfn:x}, which does not point back");
            }

            if (pfn == head)
            {
                return;
            }

            ref PageFrame frame = ref _frames[pfn];
            if (pfn >= _machine.Frames.Count || frame.RefCount == 0 || frame.IsBuddy || frame.IsPcp)
            {
                Fail(vec.Node, $"pfn 0x{pfn:x} in {list} is not allocated");
            }

            if (!frame.IsOnLru || LruVec.ListOf(frame.StoredFlags) != list || OfPage(pfn) != vec)
            {
                Fail(vec.Node, $"pfn 0x{pfn:x} is in {list} but says of itself: {frame.StoredFlags}, {_zones[frame.ZoneId]}");
            }

            listed[frame.ZoneId, (int)list] += 1L << frame.Order;
            own[(int)list] += 1L << frame.Order;
            previous = pfn;
        }
    }

    /// <summary>Pages that say they are on a list, against those found there; unevictable ones are only counted here.</summary>
    private void VerifyFrames(long[,] listed, Dictionary<LruVec, long[]> own)
    {
        foreach (Zone zone in _zones)
        {
            long flagged = 0;
            FramesInUse used = new(_machine, zone.StartPfn.Value, zone.EndPfn.Value);
            while (used.MoveNext())
            {
                int pfn = used.Pfn;
                ref PageFrame frame = ref _frames[pfn];
                if (frame.ZoneId != zone.Id || !frame.IsOnLru)
                {
                    continue;
                }

                bool unevictable = frame.IsUnevictable;
                listed[zone.Id, (int)LruList.Unevictable] += unevictable ? 1L << frame.Order : 0;
                own[OfPage(pfn)][(int)LruList.Unevictable] += unevictable ? 1L << frame.Order : 0;
                flagged += unevictable ? 0 : 1L << frame.Order;
            }

            long found = listed[zone.Id, 0] + listed[zone.Id, 1] + listed[zone.Id, 2] + listed[zone.Id, 3];
            if (flagged != found)
            {
                Fail(zone.Node, $"{flagged} pages of zone {zone.Name} say they are on a list, but {found} are");
            }
        }
    }

    private void VerifyBatches()
    {
        foreach (Cpu cpu in _machine.Cpus)
        {
            for (LruBatch batch = 0; batch < LruBatch.Count; batch++)
            {
                foreach (int pfn in _batches[cpu.Id].PagesOf(batch)[.._batches[cpu.Id].CountOf(batch)])
                {
                    ref PageFrame frame = ref _frames[pfn];
                    if (frame.RefCount == 0 || (batch == LruBatch.Add && frame.IsOnLru))
                    {
                        Fail(cpu.Node, $"pfn 0x{pfn:x} in batch {batch} of CPU {cpu.Id} is {(frame.RefCount == 0 ? "not allocated" : "on a list already")}");
                    }
                }
            }
        }
    }

    private static void VerifyCounters(LruVec vec, long[,] listed)
    {
        for (LruList list = LruList.InactiveAnon; list <= LruList.Unevictable; list++)
        {
            long pages = 0;
            foreach (Zone zone in vec.Node.Zones)
            {
                long counted = LruVec.Size(zone, list);
                pages += counted;
                if (counted != listed[zone.Id, (int)list])
                {
                    Fail(vec.Node, $"zone {zone.Name} counts {counted} pages of {list}, but {listed[zone.Id, (int)list]} are there");
                }
            }

            if (pages != vec.Size(list))
            {
                Fail(vec.Node, $"{vec.Size(list)} pages of {list} are counted, but {pages} in its zones");
            }
        }
    }
}
