namespace MemSim;

/// <summary>The architectures whose memory layout can be simulated.</summary>
public enum Architecture
{
    /// <summary>64-bit x86 with four-level page tables.</summary>
    X86_64,

    /// <summary>32-bit x86 without PAE: 3G/1G split, high memory above about 890 MiB, at most 4 GiB.</summary>
    X86_32,

    /// <summary>32-bit x86 with PAE: as <see cref="X86_32"/> with up to 64 GiB.</summary>
    X86_32Pae,

    /// <summary>64-bit ARM; with pages of 4 KiB, or those that the package is for (<see cref="PageGeometry.PageSize"/>). In MemSim.Pages8K a machine of the textbook takes its place.</summary>
    Arm64,
}

/// <summary>What the rest of the simulator has to know about an architecture, as data.</summary>
public sealed class ArchitectureInfo
{
    private ArchitectureInfo(Architecture architecture, string name, int bits, int pageblockOrder, bool sparseVmemmap, bool cma, ulong pageOffset, params ZoneType[] zoneTypes)
    {
        Architecture = architecture;
        Name = name;
        Bits = bits;
        PageblockOrder = pageblockOrder;
        SparseVmemmap = sparseVmemmap;
        HasCma = cma;
        PageOffset = pageOffset;
        ZoneTypes = zoneTypes;
    }

    /// <summary>The architecture described.</summary>
    public Architecture Architecture { get; }

    /// <summary>Its name on the command line of the tool: <c>x86_64</c>, <c>x86_32</c>, <c>x86_32-pae</c>, <c>arm64</c>.</summary>
    public string Name { get; }

    /// <summary>Bits in a machine word.</summary>
    public int Bits { get; }

    /// <summary>log2 of the pages in a page block: the order of the smallest huge page (9; 10 on x86-32 without PAE; 11 and 13 with pages of 16 and 64 KiB).</summary>
    public int PageblockOrder { get; }

    /// <summary>Whether Debian's kernel uses SPARSEMEM with a virtual memory map (64-bit) rather than FLATMEM (32-bit x86).</summary>
    public bool SparseVmemmap { get; }

    /// <summary>Whether Debian's kernel has the contiguous memory allocator built in (arm64 only).</summary>
    public bool HasCma { get; }

    /// <summary>The virtual address at which the direct map of physical memory starts (without address space randomisation).</summary>
    public ulong PageOffset { get; }

    /// <summary>The zones a node has, lowest first; the kernel's zone index is the position in this list.</summary>
    public IReadOnlyList<ZoneType> ZoneTypes { get; }

    /// <summary>64-bit x86.</summary>
    public static ArchitectureInfo X86_64 { get; } = new(Architecture.X86_64, "x86_64", 64, 9, true, false, 0xffff_8880_0000_0000, ZoneType.Dma, ZoneType.Dma32, ZoneType.Normal, ZoneType.Movable, ZoneType.Device);

    /// <summary>32-bit x86 without PAE.</summary>
    public static ArchitectureInfo X86_32 { get; } = new(Architecture.X86_32, "x86_32", 32, 10, false, false, 0xc000_0000, ZoneType.Dma, ZoneType.Normal, ZoneType.HighMem, ZoneType.Movable);

    /// <summary>32-bit x86 with PAE.</summary>
    public static ArchitectureInfo X86_32Pae { get; } = new(Architecture.X86_32Pae, "x86_32-pae", 32, 9, false, false, 0xc000_0000, ZoneType.Dma, ZoneType.Normal, ZoneType.HighMem, ZoneType.Movable);

    /// <summary>64-bit ARM.</summary>
    public static ArchitectureInfo Arm64 { get; } = new(Architecture.Arm64, PageGeometry.ArmName, 64, PageGeometry.HugeOrder, true, true, PageGeometry.KernelHalf, ZoneType.Dma, ZoneType.Dma32, ZoneType.Normal, ZoneType.Movable);

    /// <summary>The description of an architecture.</summary>
    public static ArchitectureInfo Of(Architecture architecture) => architecture switch
    {
        Architecture.X86_64 => X86_64,
        Architecture.X86_32 => X86_32,
        Architecture.X86_32Pae => X86_32Pae,
        Architecture.Arm64 => Arm64,
        _ => throw new ArgumentOutOfRangeException(nameof(architecture)),
    };

    /// <summary>The kernel's index of a zone type on this architecture, or -1 where it has no such zone.</summary>
    public int IndexOf(ZoneType type)
    {
        for (int i = 0; i < ZoneTypes.Count; i++)
        {
            if (ZoneTypes[i] == type)
            {
                return i;
            }
        }

        return -1;
    }
}
