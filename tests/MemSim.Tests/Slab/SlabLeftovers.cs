using FluentAssertions;
using MemSim.Kernels;

namespace MemSim.Tests.Slab;

/// <summary>What is left of slabs when nobody has an object any more.</summary>
internal static class SlabLeftovers
{
    /// <summary>Shrinks all caches and sees to it that nothing is live but sheaves, where the kernel has them.</summary>
    /// <returns>Pages that slabs keep: none without sheaves; else those where kmalloc's caches have their own sheaves, and what they freed into each other's.</returns>
    public static long ShrinkAll(Machine machine)
    {
        foreach (KmemCache cache in machine.Slab.Caches)
        {
            machine.Slab.ShrinkCache(cache);
        }

        machine.Verify();
        machine.Slab.FindLiveObjects().Should().BeEmpty();
        long kept = machine.Nodes.Sum(node => machine.Slab.UnreclaimablePages(node.Id) + machine.Slab.ReclaimablePages(node.Id));
        long sheaved = machine.Slab.Caches.Count(c => c.SheafCapacity != 0 && c.Name.StartsWith("kmalloc-", StringComparison.Ordinal));
        kept.Should().BeLessThanOrEqualTo(machine.Personality.Slab.Sheaves == SheafRule.None ? 0 : sheaved * machine.Cpus.Count * 8);
        return kept;
    }
}
