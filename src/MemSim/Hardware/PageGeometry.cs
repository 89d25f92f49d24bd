namespace MemSim;

/// <summary>The sizes that pages and blocks of pages have on every architecture simulated here.</summary>
/// <remarks>
/// They are constants, so that the compiler folds them: each page size is an assembly of its own, made from the same sources with another <see cref="PageShift"/>
/// (packages MemSim, MemSim.Pages16K, MemSim.Pages64K, MemSim.Pages8K). What follows from the size of a page stands here, once.
/// </remarks>
public static partial class PageGeometry
{
    /// <summary>Bytes in a page frame.</summary>
    public const int PageSize = 1 << PageShift;

    /// <summary>The largest order that can be allocated (the kernel's <c>MAX_PAGE_ORDER</c> of 6.8 and later).</summary>
    public const int MaxOrder = OrderCount - 1;

    /// <summary>Orders above this one are costly: the allocator tries less hard for them and does not keep them in per-CPU lists.</summary>
    public const int CostlyOrder = 3;

    /// <summary>log2 of the entries in a table of entries of eight bytes that fills a page.</summary>
    internal const int TableBits = PageShift - 3;

    /// <summary>log2 of the bytes that an entry of the second level maps (<c>PMD_SHIFT</c>), entries having eight bytes.</summary>
    internal const int HugeShift = PageShift + TableBits;

    /// <summary>Bytes that an entry of the second level maps (<c>PMD_SIZE</c>).</summary>
    internal const ulong HugeBytes = 1UL << HugeShift;

    /// <summary>log2 of the pages that an entry of the second level maps (<c>HPAGE_PMD_ORDER</c>).</summary>
    internal const int HugeOrder = HugeShift - PageShift;

    /// <summary>Bits of addresses that arm64's tables translate.</summary>
    internal const int AddressBits = PageShift + (TableBits * (Levels - 1)) + TopBits;

    /// <summary>Where the kernel's half of arm64's addresses starts, and with it the direct map (<c>PAGE_OFFSET</c>).</summary>
    internal const ulong KernelHalf = ~0UL << AddressBits;

    /// <summary>Where arm64's direct map can reach at most (<c>PAGE_END</c>).</summary>
    internal const ulong DirectMapLimit = ~0UL << (AddressBits - 1);

    /// <summary>log2 of the pages that an entry of the third level maps.</summary>
    internal const int GiantOrder = HugeOrder + TableBits;

    /// <summary>The size of a mapping of one page.</summary>
    internal const MappingSize SmallMapping = (MappingSize)PageShift;

    /// <summary>The size of a mapping by an entry of the second level.</summary>
    internal const MappingSize HugeMapping = (MappingSize)HugeShift;

    /// <summary>Whether pages have the 4 KiB that x86 has, and that arm64 has unless its kernel was built otherwise.</summary>
    internal const bool Is4K = PageShift == 12;

    /// <summary>Pages in a subsection, the least that is plugged in or out of a zone's span (2 MiB).</summary>
    internal const long SubsectionPages = 1L << (21 - PageShift);

    /// <summary>Bits of a page's address in an entry or a pointer.</summary>
    internal const ulong PageMask = ~(ulong)(PageSize - 1);

    /// <summary>Why an architecture cannot be had with these pages; null when it can.</summary>
    internal static string? Refuses(Architecture architecture) => Is4K || architecture == Architecture.Arm64
        ? null
        : $"{ArchitectureInfo.Of(architecture).Name} has pages of 4 KiB, which the package MemSim simulates: this one has pages of {PageSize >> 10} KiB, which {ArmName} has";
}
