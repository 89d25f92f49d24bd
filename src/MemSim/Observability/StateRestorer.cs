using MemSim.Boot;
using MemSim.Pages;
using MemSim.Slab;
using MemSim.Zones;

namespace MemSim.Observability;

/// <summary>Builds a machine whose allocator is in a recorded state: every list in its order, every counter, every page block type.</summary>
/// <remarks>Frames that are in no list were in use, reserved or holes when the state was taken; the allocator treats all three alike and nobody can free them.</remarks>
internal static class StateRestorer
{
    /// <summary>Builds the machine.</summary>
    /// <param name="state">The state.</param>
    /// <param name="configure">Changes the blueprint's options; null for a machine like Debian's kernel: contents off, contradictory flags mean ZONE_DMA.</param>
    /// <param name="hasContents">Whether its memory holds bytes, which processes need.</param>
    /// <param name="slab">What the command line says about slabs; null for nothing.</param>
    /// <exception cref="FormatException">The state contradicts itself; the message names the zone and the block.</exception>
    public static Machine Restore(AllocatorState state, Func<MachineBlueprint, Machine>? configure = null, bool hasContents = false, KernelCommandLine? slab = null)
    {
        int[] nodes = [.. state.Zones.Select(z => z.Node).Concat(state.CpuNodes).Distinct().Order()];
        MachineBlueprint blueprint = new()
        {
            Architecture = ArchitectureInfo.Of(state.Architecture),
            PageblockOrder = state.PageblockOrder,
            Nodes = [.. nodes.Select(n => new NodeBlueprint(n, [], Fallback(state, n, nodes)))],
            CpuNodes = [.. Enumerable.Range(0, state.CpuCount).Select(cpu => cpu < state.CpuNodes.Count ? state.CpuNodes[cpu] : state.Zones[0].Node)],
            Zones = [.. state.Zones.Select(z => new ZoneBlueprint(z.Node, z.Type, z.StartPfn, z.SpannedPages, z.PresentPages, z.ManagedPages))],
            HasContents = hasContents,
            RefusesIllegalFlags = false,
            WatermarkBoostFactor = state.WatermarkBoostFactor,
            Personality = state.Kernel,
        };
        Machine machine = configure is null ? new Machine(blueprint) : configure(blueprint);
        try
        {
            Fill(machine, state);
            machine.BuildSubsystems(new SubsystemOptions { Slab = slab?.Slab ?? SlabParameters.Default });
            return machine;
        }
        catch
        {
            machine.Dispose();
            throw;
        }
    }

    private static int[] Fallback(AllocatorState state, int node, int[] nodes)
    {
        IEnumerable<int> recorded = state.NodeFallback.TryGetValue(node, out IReadOnlyList<int>? order) ? order.Where(nodes.Contains) : [node];
        return [.. recorded.Concat(nodes).Distinct()];
    }

    /// <summary>Refuses a machine of a state whose lists do not hold the free pages that it counts.</summary>
    /// <exception cref="FormatException">A zone is such a one; the message names it.</exception>
    public static void RefuseMiscounted(Machine machine, AllocatorState state)
    {
        foreach (ZoneState source in state.Zones)
        {
            Zone zone = machine.GetNode(source.Node).GetZone(source.Type);
            long free = source.FreeLists.Select((types, order) => types.Where((_, type) => type != (int)MigrateType.Isolate).Sum(list => list.LongLength) << order).Sum();
            if (free != zone.TrueFreePages)
            {
                throw new FormatException($"{zone}: {zone.TrueFreePages} pages are counted as free but the lists hold {free}");
            }
        }

        try
        {
            new StateVerifier(machine).VerifyFreeLists();
        }
        catch (KernelBugException contradiction)
        {
            throw new FormatException(contradiction.Message.Split('\n')[0], contradiction);
        }
    }

    /// <summary>Puts the lists, counters and types of a state into a machine whose zones are still empty.</summary>
    public static void Fill(Machine machine, AllocatorState state)
    {
        machine.ZoneTable.DefragMode = state.DefragMode == true;
        foreach (ZoneState source in state.Zones)
        {
            FillZone(machine.Frames.Array, machine.GetNode(source.Node).GetZone(source.Type), source, state);
        }
    }

    private static void FillZone(FrameArray frames, Zone zone, ZoneState source, AllocatorState state)
    {
        zone.MarkMin = source.WatermarkMin;
        zone.MarkLow = source.WatermarkLow;
        zone.MarkHigh = source.WatermarkHigh;
        zone.MarkPromo = source.WatermarkPromo;
        zone.Boost = source.WatermarkBoost;
        zone.HighAtomicReserved = source.ReservedHighAtomicPages;
        zone.IsolatedPageblocks = source.IsolatedPageblocks;
        zone.Flags = (ZoneFlags)source.Flags;
        zone.FreePagesFolded = source.FreePages;
        for (int i = 0; i < Math.Min(zone.Reserve.Length, source.LowmemReserve.Length); i++)
        {
            zone.Reserve[i] = source.LowmemReserve[i];
        }

        for (int i = 0; i < source.Pageblocks.Length; i++)
        {
            long block = source.FirstPageblock + i - zone.FirstPageblock;
            if ((ulong)block < (ulong)zone.PageblockTypes.Length)
            {
                zone.PageblockTypes[block] = source.Pageblocks[i];
            }
        }

        long isolated = zone.PageblockTypes.LongCount(type => type == (byte)MigrateType.Isolate);
        if (isolated != source.IsolatedPageblocks)
        {
            throw new FormatException($"{zone}: {source.IsolatedPageblocks} page blocks are counted as isolated but {isolated} are");
        }

        // Before the lists, so that frames on an LRU list that a free block covers after all are overwritten.
        foreach ((long start, long count) in source.LruOrMovable)
        {
            for (long pfn = start; pfn < start + count; pfn++)
            {
                Check(zone.SpansIndex(pfn), zone, pfn, "an LRU page");
                frames[(int)pfn].Begin(zone.Id, PageFlags.Lru);
            }
        }

        FillFreeLists(frames, zone, source);
        zone.FreeBlocksFolded = !zone.Rules.CountsFreeBlocks ? 0 : source.FreeBlockPages ?? PagesInPageblocks(zone);
        FillPcp(frames, zone, source, state.PageblockOrder);
        CheckOverlaps(zone, source, state.PageblockOrder);
        zone.UntrackedPages = zone.PagesOnNoList;
        if (zone.UntrackedPages < 0)
        {
            throw new FormatException($"{zone}: more pages are free than the {zone.ManagedPages} managed ones");
        }
    }

    private static long PagesInPageblocks(Zone zone) =>
        Enumerable.Range(zone.PageblockOrder, PageGeometry.OrderCount - zone.PageblockOrder).Sum(o => zone.FreeArea.Blocks(o) << o);

    private static void FillFreeLists(FrameArray frames, Zone zone, ZoneState source)
    {
        for (int order = 0; order < source.FreeLists.Length; order++)
        {
            for (int type = 0; type < source.FreeLists[order].Length; type++)
            {
                foreach (long pfn in source.FreeLists[order][type])
                {
                    bool inside = (pfn & ((1L << order) - 1)) == 0 && zone.SpansIndex(pfn) && zone.SpansIndex(pfn + (1L << order) - 1);
                    Check(inside && frames[(int)pfn].State == 0, zone, pfn, $"a free block of order {order}");
                    ref PageFrame frame = ref frames[(int)pfn];
                    frame.Identity = PageFrame.FreeIdentity(zone.Id, order);
                    frame.State = PageFrame.BuddyState;
                    frame.Index = (uint)type;
                    zone.FreeArea.AddLast((int)pfn, order, type);
                    zone.FreeHighAtomic += type == (int)MigrateType.HighAtomic ? 1L << order : 0;
                    if (type == (int)MigrateType.Cma)
                    {
                        zone.HasCma = true;
                        zone.FreeCmaPagesCount += 1L << order;
                    }
                }
            }
        }
    }

    /// <summary>No block lies inside of another: each frame is listed once.</summary>
    private static void CheckOverlaps(Zone zone, ZoneState source, int pageblockOrder)
    {
        List<(long Start, int Order)> blocks = [];
        for (int order = 0; order < source.FreeLists.Length; order++)
        {
            foreach (long[] list in source.FreeLists[order])
            {
                blocks.AddRange(list.Select(pfn => (pfn, order)));
            }
        }

        foreach (PcpState pcp in source.Pcp.Take(zone.Pcp.Length))
        {
            for (int list = 0; list < pcp.Lists.Length; list++)
            {
                int order = PerCpuPages.ListOrder(list, pageblockOrder);
                blocks.AddRange(pcp.Lists[list].Select(pfn => (pfn, order)));
            }
        }

        blocks.Sort();
        for (int i = 1; i < blocks.Count; i++)
        {
            (long start, int order) = blocks[i - 1];
            Check(blocks[i].Start >= start + (1L << order), zone, blocks[i].Start, $"a free block of order {blocks[i].Order} beside that of order {order} at 0x{start:x}, which covers it");
        }
    }

    private static void FillPcp(FrameArray frames, Zone zone, ZoneState source, int pageblockOrder)
    {
        for (int cpu = 0; cpu < Math.Min(zone.Pcp.Length, source.Pcp.Count); cpu++)
        {
            PcpState from = source.Pcp[cpu];
            PerCpuPages pcp = zone.Pcp[cpu];
            pcp.High = from.High;
            pcp.Batch = from.Batch;
            pcp.FreeRun = from.FreeFactor;
            pcp.AllocFactor = from.AllocFactor;
            pcp.LastFreeWasBlock = (from.Flags & 1) != 0;
            pcp.CacheIsLarge = (from.Flags & PcpState.LargeCache) != 0;
            if (pcp.IsMoving)
            {
                (int least, int most) = from.HighBounds ?? (from.High, from.High);
                pcp.SetBounds(least, most);
            }

            pcp.FreeBlocksDiff = cpu < source.FreeBlockPagesCpuDiff.Length ? source.FreeBlockPagesCpuDiff[cpu] : 0;

            // What a CPU kept to itself when its threshold was lowered may be more than it may keep now.
            pcp.FreePagesDiff = cpu < source.FreePagesCpuDiff.Length ? source.FreePagesCpuDiff[cpu] : 0;
            pcp.SetStatThreshold(source.StatThreshold);
            for (int list = 0; list < from.Lists.Length; list++)
            {
                int order = PerCpuPages.ListOrder(list, pageblockOrder);
                for (int i = 0; i < from.Lists[list].Length; i++)
                {
                    long pfn = from.Lists[list][i];
                    bool inside = zone.SpansIndex(pfn) && zone.SpansIndex(pfn + (1L << order) - 1);
                    Check(inside && frames[(int)pfn].State == 0, zone, pfn, $"a block of order {order} in a list of CPU {cpu}");
                    ref PageFrame frame = ref frames[(int)pfn];
                    frame.Identity = PageFrame.FreeIdentity(zone.Id, 0);
                    frame.State = PageFrame.PcpState;
                    frame.Index = from.CachedTypes.Length != 0 ? from.CachedTypes[list][i] : (uint)ListType(zone, list, (int)pfn);
                    frames.AddLast(pcp.FirstHead + list, (int)pfn);
                    pcp.Count += 1 << order;
                }
            }
        }
    }

    /// <summary>The cached type where a recording does not tell: that of the list, or for the huge page list that two types share, the page block's.</summary>
    private static int ListType(Zone zone, int list, int pfn) =>
        list < PerCpuPages.LowOrderLists ? list % PerCpuPages.PcpTypes
        : list == PerCpuPages.LowOrderLists + 1 ? (int)MigrateType.Movable
        : zone.BlockType(pfn) == (int)MigrateType.Reclaimable ? (int)MigrateType.Reclaimable : (int)MigrateType.Unmovable;

    private static void Check(bool good, Zone zone, long pfn, string what)
    {
        if (!good)
        {
            throw new FormatException($"{zone}: pfn 0x{pfn:x} cannot be {what}: outside the zone, misaligned or named twice");
        }
    }
}
