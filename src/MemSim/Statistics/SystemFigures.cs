using System.Diagnostics;

namespace MemSim.Statistics;

/// <summary>Figures of <c>/proc/meminfo</c> and of the memory report that are not per zone or node: swap, huge pages, vmalloc, the direct map. 0 until a subsystem fills them.</summary>
internal sealed class SystemFigures
{
    /// <summary>Pages that hold file system metadata read through block devices (<c>Buffers</c>).</summary>
    public long BufferPages { get; set => field = Counted(value); }

    /// <summary>Pages of all swap areas.</summary>
    public long SwapTotalPages { get; set => field = Counted(value); }

    /// <summary>Pages of swap that are free.</summary>
    public long SwapFreePages { get; set => field = Counted(value); }

    /// <summary>Memory that compressed swap pages take, in KiB.</summary>
    public long ZswapKiB { get; set; }

    /// <summary>What those pages are uncompressed, in KiB.</summary>
    public long ZswappedKiB { get; set; }

    /// <summary>Pages promised to processes (<c>Committed_AS</c>).</summary>
    public long CommittedPages { get; set => field = Counted(value); }

    /// <summary>The size of the vmalloc area in KiB; null for the architecture's usual one.</summary>
    public long? VmallocTotalKiB { get; set; }

    /// <summary>Pages in use by vmalloc.</summary>
    public long VmallocUsedPages { get; set => field = Counted(value); }

    /// <summary>Pages of the per-CPU allocator.</summary>
    public long PerCpuPages { get; set => field = Counted(value); }

    /// <summary>Pages taken out of use after hardware errors.</summary>
    public long HardwareCorruptedPages { get; set; }

    /// <summary>Huge pages of the default size in the pool.</summary>
    public long HugePagesTotal { get; set => field = Counted(value); }

    /// <summary>Huge pages that are free.</summary>
    public long HugePagesFree { get; set => field = Counted(value); }

    /// <summary>Huge pages promised to mappings.</summary>
    public long HugePagesReserved { get; set => field = Counted(value); }

    /// <summary>Huge pages beyond the pool's size.</summary>
    public long HugePagesSurplus { get; set => field = Counted(value); }

    /// <summary>Small pages in the huge pages of all pools (<c>Hugetlb</c>).</summary>
    public long HugetlbPages { get; set => field = Counted(value); }

    /// <summary>Direct map in 4 KiB pages, in KiB.</summary>
    public long DirectMap4KiB { get; set; }

    /// <summary>Direct map in pages of the second level (2 MiB, 4 MiB on x86-32 without PAE), in KiB.</summary>
    public long DirectMapLargeKiB { get; set; }

    /// <summary>Direct map in 1 GiB pages, in KiB.</summary>
    public long DirectMap1GiB { get; set; }

    /// <summary>Whether the CPUs know 1 GiB pages (x86-64).</summary>
    public bool HasGigabytePages { get; set; } = true;

    private static long Counted(long value)
    {
        Debug.Assert(value >= 0, "no less than nothing is there");
        return value;
    }
}
