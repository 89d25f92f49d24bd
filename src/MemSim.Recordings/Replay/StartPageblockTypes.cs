using MemSim.Observability;

namespace MemSim.Recordings.Replay;

/// <summary>Finds the migrate types of page blocks at the start of a recording whose lists were not read.</summary>
/// <remarks>
/// What events tell of a block's frames decides. Page blocks that no event touches matter too: their free blocks would be taken first, if they were thought to be of a type that is asked for. So they
/// get types with which the counts by type come out, where these were read. Without them: a free block that nobody took is of no type for which a larger one was taken, because the smallest is taken first.
/// </remarks>
internal static class StartPageblockTypes
{
    private static readonly byte[] Usual = [(byte)MigrateType.Movable, (byte)MigrateType.Unmovable, (byte)MigrateType.Reclaimable];

    /// <summary>Sets the types.</summary>
    /// <param name="zone">The zone; all of its page blocks are movable so far.</param>
    /// <param name="pageblockOrder">log2 of the pages in a page block.</param>
    /// <param name="free">Its free blocks by order.</param>
    /// <param name="counted">How many there were by type and order; null where they were not counted.</param>
    /// <param name="events">What the events tell.</param>
    public static void Set(ZoneState zone, int pageblockOrder, List<long>[] free, long[][]? counted, TraceStartEvents events)
    {
        for (int i = 0; i < zone.Pageblocks.Length; i++)
        {
            zone.Pageblocks[i] = events.TypeOf(zone.FirstPageblock + i) ?? (byte)MigrateType.Movable;
        }

        long[][]? left = counted?.Select(c => (long[])c.Clone()).ToArray();
        int[] largestTaken = new int[(int)MigrateType.Isolate + 1];
        foreach ((long block, List<int> orders, byte? taken) in Blocks(pageblockOrder, free, events))
        {
            byte type = events.TypeOf(block) ?? (left is null ? taken ?? Usual.FirstOrDefault(t => largestTaken[t] <= orders.Max(), (byte)MigrateType.Movable)
                : taken is byte t && Has(left, t, orders) ? t : WithMostLeft(left, orders));
            if (taken is not null)
            {
                largestTaken[type] = Math.Max(largestTaken[type], orders.Max());
            }

            foreach (int order in left is null ? [] : orders)
            {
                left![type][order]--;
            }

            // A block of several page blocks has one type.
            int pageblocks = 1 << Math.Max(0, orders.Max() - pageblockOrder);
            for (long i = block - zone.FirstPageblock; i < Math.Min(block - zone.FirstPageblock + pageblocks, zone.Pageblocks.Length); i++)
            {
                zone.Pageblocks[i] = type;
            }
        }
    }

    /// <summary>The page blocks with something free and its orders: those whose type the events tell first, then those that were taken from, in that order, then the others.</summary>
    private static IEnumerable<(long Block, List<int> Orders, byte? Taken)> Blocks(int pageblockOrder, List<long>[] free, TraceStartEvents events)
    {
        Dictionary<long, (List<int> Orders, int TakenAt)> blocks = [];
        for (int order = 0; order < free.Length; order++)
        {
            foreach (long pfn in free[order])
            {
                long block = pfn >> pageblockOrder;
                (List<int> orders, int takenAt) = blocks.GetValueOrDefault(block, ([], int.MaxValue));
                orders.Add(order);
                blocks[block] = (orders, Math.Min(takenAt, events.TakenAt(pfn, order)));
            }
        }

        return blocks.OrderBy(b => events.TypeOf(b.Key) is null).ThenBy(b => b.Value.TakenAt).ThenBy(b => b.Key)
            .Select(b => (b.Key, b.Value.Orders, b.Value.TakenAt == int.MaxValue ? null : events.FirstTakenFor(b.Key)));
    }

    private static bool Has(long[][] left, byte type, List<int> orders) => orders.GroupBy(o => o).All(o => left[type][o.Key] >= o.Count());

    /// <summary>Of the types with so many blocks of these orders left, the one with most of them; movable where none has.</summary>
    private static byte WithMostLeft(long[][] left, List<int> orders)
    {
        byte best = (byte)MigrateType.Movable;
        long most = 0;
        for (byte type = 0; type < Math.Min(left.Length, (int)MigrateType.Isolate); type++)
        {
            byte t = type;
            if (Has(left, t, orders) && orders.Sum(o => left[t][o]) > most)
            {
                best = type;
                most = orders.Sum(o => left[t][o]);
            }
        }

        return best;
    }
}
