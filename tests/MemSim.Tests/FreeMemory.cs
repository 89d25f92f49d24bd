namespace MemSim.Tests;

/// <summary>What is free when nobody keeps anything without need: what tests compare that want every page back.</summary>
internal static class FreeMemory
{
    /// <summary>Gives back what is kept for later (LRU batches, empty slabs, kernel stacks, per-CPU pages), and counts the free pages.</summary>
    /// <remarks>Tables of the kernel's addresses count as free: those that vmalloc once needed stay for ever, as in a real kernel.</remarks>
    public static long FreePagesAtRest(this Machine machine)
    {
        machine.Lru.DrainAll();
        foreach (Cpu cpu in machine.Cpus)
        {
            machine.Stacks.DropCache(cpu);
        }

        foreach (KmemCache cache in machine.Slab.Caches)
        {
            machine.Slab.ShrinkCache(cache);
        }

        machine.Memory.DrainAllPages();
        long free = machine.Zones.Sum(zone => Enumerable.Range(0, PageGeometry.OrderCount).Sum(order => zone.FreeBlocks(order) << order));
        PageTables kernel = machine.Mmu.Kernel;
        return free + Enumerable.Range(0, kernel.Levels).Sum(level => kernel.TablesOnLevel(level));
    }
}
