namespace MemSim;

/// <content>What is chosen with the size of a page; packages of other page sizes have a file of their own in its place.</content>
public static partial class PageGeometry
{
    /// <summary>log2 of <see cref="PageSize"/>.</summary>
    public const int PageShift = 12;

    /// <summary>The number of orders the buddy allocator keeps lists for: 0 to 10 (the kernel's <c>MAX_ORDER</c> of 6.1, exclusive).</summary>
    public const int OrderCount = 11;

    /// <summary>log2 of the bytes in a section of SPARSEMEM (<c>SECTION_SIZE_BITS</c>): 128 MiB.</summary>
    internal const int SectionShift = 27;

    /// <summary>Levels of arm64's page tables: 48 bits of addresses.</summary>
    internal const int Levels = 4;

    /// <summary>log2 of the entries that arm64's top table uses.</summary>
    internal const int TopBits = 9;

    /// <summary>The highest level whose entries arm64 lets map memory directly: 1 GiB.</summary>
    internal const int HighestLeaf = 3;

    /// <summary>log2 of the neighbouring entries that arm64 can mark as one (<c>CONT_PTE_SHIFT</c>): 64 KiB of pages, 32 MiB of huge pages.</summary>
    internal const int ContiguousPages = 4, ContiguousHugePages = 4;

    /// <summary>What the architecture with these page tables is called (<see cref="ArchitectureInfo.Name"/>).</summary>
    internal const string ArmName = "arm64";
}
