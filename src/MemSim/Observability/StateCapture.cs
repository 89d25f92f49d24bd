using MemSim.Kernels;
using MemSim.Pages;
using MemSim.Zones;

namespace MemSim.Observability;

/// <summary>Reads the complete state of a machine's page allocator.</summary>
internal static class StateCapture
{
    public static AllocatorState Capture(Machine machine, string name)
    {
        AllocatorState state = new()
        {
            Name = name,
            Architecture = machine.Architecture.Architecture,
            PageblockOrder = machine.ZoneTable.PageblockOrder,
            WatermarkBoostFactor = machine.ZoneTable.WatermarkBoostFactor,
            CpuCount = machine.Cpus.Count,
            Kernel = machine.Personality,
            DefragMode = machine.Personality.Allocator.DefragMode == DefragModeRule.Absent ? null : machine.ZoneTable.DefragMode,
        };
        foreach (Zone zone in machine.Zones)
        {
            if (zone.IsPopulated)
            {
                state.Zones.Add(Capture(machine.Frames.Array, zone));
            }
        }

        return state;
    }

    private static ZoneState Capture(FrameArray frames, Zone zone)
    {
        ZoneState state = new()
        {
            Node = zone.Node.Id,
            Type = zone.Type,
            StartPfn = zone.StartPfn.Value,
            SpannedPages = zone.SpannedPages,
            PresentPages = zone.PresentPages,
            ManagedPages = zone.ManagedPages,
            WatermarkMin = zone.MarkMin,
            WatermarkLow = zone.MarkLow,
            WatermarkHigh = zone.MarkHigh,
            WatermarkPromo = zone.MarkPromo,
            WatermarkBoost = zone.Boost,
            ReservedHighAtomicPages = zone.HighAtomicReserved,
            FreeHighAtomicPages = zone.Rules.CountsFreeHighAtomic ? zone.FreeHighAtomic : null,
            FreeBlockPages = zone.Rules.CountsFreeBlocks ? zone.FreeBlocksFolded : null,
            FreeBlockPagesCpuDiff = [.. zone.Pcp.Select(p => p.FreeBlocksDiff)],
            IsolatedPageblocks = zone.IsolatedPageblocks,
            Flags = (uint)zone.Flags,
            LowmemReserve = [.. zone.Reserve],
            FreePages = zone.FreePagesFolded,
            FreePagesCpuDiff = [.. zone.Pcp.Select(p => p.FreePagesDiff)],
            StatThreshold = zone.Pcp.Length != 0 ? zone.Pcp[0].StatThreshold : 0,
            FirstPageblock = zone.FirstPageblock,
            Pageblocks = [.. zone.PageblockTypes],
            FreeLists = new long[PageGeometry.OrderCount][][],
        };
        for (int order = 0; order < PageGeometry.OrderCount; order++)
        {
            state.FreeLists[order] = new long[FreeArea.MigrateTypes][];
            for (int type = 0; type < FreeArea.MigrateTypes; type++)
            {
                state.FreeLists[order][type] = FreeList(zone, zone.FreeArea.Head(order, type));
            }
        }

        foreach (PerCpuPages pcp in zone.Pcp)
        {
            long[][] lists = [.. Enumerable.Range(0, PerCpuPages.Lists).Select(i => List(frames, pcp.FirstHead + i))];
            state.Pcp.Add(new PcpState
            {
                Count = pcp.Count,
                High = pcp.High,
                Batch = pcp.Batch,
                FreeFactor = pcp.FreeRun,
                HighBounds = pcp.IsMoving ? (pcp.HighMin, pcp.HighMax) : null,
                AllocFactor = pcp.AllocFactor,
                Flags = (pcp.LastFreeWasBlock ? 1 : 0) | (pcp.CacheIsLarge ? PcpState.LargeCache : 0),
                Lists = lists,
                CachedTypes = [.. lists.Select(list => list.Select(pfn => (byte)frames[(int)pfn].Index).ToArray())],
            });
        }

        return state;
    }

    private static long[] FreeList(Zone zone, int head)
    {
        List<long> list = [];
        for (int i = zone.FreeArea.Next(head); i != head; i = zone.FreeArea.Next(i))
        {
            list.Add(i);
        }

        return [.. list];
    }

    private static long[] List(FrameArray frames, int head)
    {
        List<long> list = [];
        for (int i = frames[head].Next; i != head; i = frames[i].Next)
        {
            list.Add(i);
        }

        return [.. list];
    }
}
