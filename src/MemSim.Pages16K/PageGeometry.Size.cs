namespace MemSim;

/// <content>Pages of 16 KiB.</content>
public static partial class PageGeometry
{
    /// <summary>log2 of <see cref="PageSize"/>.</summary>
    public const int PageShift = 14;

    /// <summary>The number of orders the buddy allocator keeps lists for: 0 to 11, the order of a huge page (the kernel's <c>ARCH_FORCE_MAX_ORDER</c> of arm64).</summary>
    public const int OrderCount = 12;

    /// <summary>log2 of the bytes in a section of SPARSEMEM (<c>SECTION_SIZE_BITS</c>): 128 MiB.</summary>
    internal const int SectionShift = 27;

    /// <summary>Levels of arm64's page tables: 48 bits of addresses.</summary>
    internal const int Levels = 4;

    /// <summary>log2 of the entries that arm64's top table uses.</summary>
    internal const int TopBits = 1;

    /// <summary>The highest level whose entries arm64 lets map memory directly: 32 MiB.</summary>
    internal const int HighestLeaf = 2;

    /// <summary>log2 of the neighbouring entries that arm64 can mark as one: 2 MiB of pages, 1 GiB of huge pages.</summary>
    internal const int ContiguousPages = 7, ContiguousHugePages = 5;

    /// <summary>What the architecture with these page tables is called (<see cref="ArchitectureInfo.Name"/>).</summary>
    internal const string ArmName = "arm64";
}
