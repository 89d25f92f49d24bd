using MemSim.Zones;

namespace MemSim.Observability;

/// <summary>Where the kernel would have the <c>struct page</c> of a frame: reports print its address.</summary>
internal static class StructPages
{
    /// <summary>log2 of the pages in a section of the sparse memory model (128 MiB).</summary>
    private const int SectionOrder = PageGeometry.SectionShift - PageGeometry.PageShift;

    private const ulong VmemmapX86 = 0xffff_ea00_0000_0000;
    private const ulong VmemmapArm64 = KernelAddressSpace.ArmVmemmapStart;

    /// <summary>The address of a frame's <c>struct page</c> in the kernel; in a flat memory map as if the map lay at the top of low memory.</summary>
    public static ulong AddressOf(Machine machine, long pfn)
    {
        const ulong Bytes32 = 40;
        const ulong Bytes64 = 64;
        switch (machine.Architecture.Architecture)
        {
            case MemSim.Architecture.X86_64:
                return VmemmapX86 + ((ulong)pfn * Bytes64);
            case MemSim.Architecture.Arm64:
                return VmemmapArm64 + (((ulong)pfn - (machine.Addresses.PhysicalBase >> PageGeometry.PageShift)) * Bytes64);
            default:
                ulong map = (machine.Addresses.DirectMapEnd.Value - ((ulong)machine.Frames.Count * Bytes32)) & ~(ulong)(PageGeometry.PageSize - 1);
                return map + ((ulong)pfn * Bytes32);
        }
    }

    /// <summary>Whether a frame that no zone has still has a descriptor: everywhere in a flat memory map, else where its section has memory.</summary>
    public static bool ExistsInHole(Machine machine, long pfn)
    {
        if (!machine.Architecture.SparseVmemmap)
        {
            return pfn < machine.Frames.Count;
        }

        long start = pfn >> SectionOrder << SectionOrder;
        foreach (PresentRange range in machine.ZoneTable.PresentRanges)
        {
            if (range.Start < start + (1L << SectionOrder) && range.End > start)
            {
                return true;
            }
        }

        foreach (OfflineRange range in machine.ZoneTable.OfflineRanges)
        {
            if (range.Start < start + (1L << SectionOrder) && range.End > start)
            {
                return true;
            }
        }

        return false;
    }
}
