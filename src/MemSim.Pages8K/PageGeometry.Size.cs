namespace MemSim;

/// <content>Pages of 8 KiB: the machine of the textbook, whose three levels of 1024 entries translate 43 bits, as Alpha's did. Its entries have arm64's bits.</content>
public static partial class PageGeometry
{
    /// <summary>log2 of <see cref="PageSize"/>.</summary>
    public const int PageShift = 13;

    /// <summary>The number of orders the buddy allocator keeps lists for: 0 to 10, which is the order of a huge page.</summary>
    public const int OrderCount = 11;

    /// <summary>log2 of the bytes in a section of SPARSEMEM: 128 MiB.</summary>
    internal const int SectionShift = 27;

    /// <summary>Levels of page tables: 43 bits of addresses for each of user and kernel.</summary>
    internal const int Levels = 3;

    /// <summary>log2 of the entries that the top table uses.</summary>
    internal const int TopBits = 10;

    /// <summary>The highest level whose entries map memory directly: 8 MiB.</summary>
    internal const int HighestLeaf = 2;

    /// <summary>No entries side by side are one.</summary>
    internal const int ContiguousPages = 0, ContiguousHugePages = 0;

    /// <summary>What the architecture with these page tables is called (<see cref="ArchitectureInfo.Name"/>).</summary>
    internal const string ArmName = "textbook";
}
