namespace MemSim.KernelMemory;

/// <summary>The per-CPU areas the kernel embeds in the direct map at boot: what dmesg calls <c>percpu: Embedded N pages/cpu sS rR dD uU</c>.</summary>
/// <param name="PagesPerCpu">Pages of a CPU's area.</param>
/// <param name="StaticBytes">Bytes for the kernel's own per-CPU variables.</param>
/// <param name="ReservedBytes">Bytes for those of modules.</param>
/// <param name="UnitBytes">Bytes from one CPU's area to the next one's.</param>
/// <param name="Units">Where each CPU's area starts, by CPU; empty when the areas were not allocated at boot.</param>
internal sealed record PercpuLayout(int PagesPerCpu, int StaticBytes, int ReservedBytes, long UnitBytes, IReadOnlyList<PhysicalAddress> Units)
{
    /// <summary>What is left of a CPU's area for dynamic allocations.</summary>
    public int DynamicBytes => (PagesPerCpu << PageGeometry.PageShift) - StaticBytes - ReservedBytes;
}
