using System.Runtime.CompilerServices;
using MemSim.Zones;

namespace MemSim.PageAllocation;

/// <content>What is counted when blocks come and go.</content>
internal sealed partial class BuddyLists
{
    /// <summary>Counts pages that became free (or, negative, that were taken); isolated ones are not counted as free.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void CountFree(Zone zone, PerCpuPages pcp, int pages, int type)
    {
        if (type >= (int)MigrateType.HighAtomic)
        {
            CountKind(zone, pages, type);
            if (type == (int)MigrateType.Isolate)
            {
                return;
            }
        }

        zone.AddFreePages(pcp, pages);
    }

    /// <summary>Counts free pages of the types that are counted apart.</summary>
    private static void CountKind(Zone zone, int pages, int type)
    {
        if (type == (int)MigrateType.HighAtomic)
        {
            zone.FreeHighAtomic += pages;
        }
        else if (type == (int)MigrateType.Cma)
        {
            zone.FreeCmaPagesCount += pages;
        }
    }

    private static void CountPageblocks(Zone zone, PerCpuPages pcp, int pages, int type)
    {
        if (type != (int)MigrateType.Isolate)
        {
            zone.AddFreeBlocks(pcp, pages);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void CountParts(Zone zone, PerCpuPages pcp, int low, int high, int type)
    {
        for (int order = high - 1; order >= Math.Max(low, _countedFrom); order--)
        {
            CountPageblocks(zone, pcp, 1 << order, type);
        }
    }
}
