namespace MemSim;

/// <content>Pages of 64 KiB.</content>
public static partial class PageGeometry
{
    /// <summary>log2 of <see cref="PageSize"/>.</summary>
    public const int PageShift = 16;

    /// <summary>The number of orders the buddy allocator keeps lists for: 0 to 13, the order of a huge page (the kernel's <c>ARCH_FORCE_MAX_ORDER</c> of arm64).</summary>
    public const int OrderCount = 14;

    /// <summary>log2 of the bytes in a section of SPARSEMEM (<c>SECTION_SIZE_BITS</c>): 512 MiB.</summary>
    internal const int SectionShift = 29;

    /// <summary>Levels of arm64's page tables: 48 bits of addresses.</summary>
    internal const int Levels = 3;

    /// <summary>log2 of the entries that arm64's top table uses.</summary>
    internal const int TopBits = 6;

    /// <summary>The highest level whose entries arm64 lets map memory directly: 512 MiB.</summary>
    internal const int HighestLeaf = 2;

    /// <summary>log2 of the neighbouring entries that arm64 can mark as one: 2 MiB of pages, 16 GiB of huge pages.</summary>
    internal const int ContiguousPages = 5, ContiguousHugePages = 5;

    /// <summary>What the architecture with these page tables is called (<see cref="ArchitectureInfo.Name"/>).</summary>
    internal const string ArmName = "arm64";
}
