using MemSim.VirtualMemory;

namespace MemSim.Ksm;

/// <summary>A page of a process that ksmd looks at (<c>struct ksm_rmap_item</c>): while it is in the unstable tree, a node of that; while its page is merged, one of those that map it.</summary>
internal sealed class RmapItem(MergingSpace space, ulong address) : ContentNode
{
    /// <summary>Bytes of the kernel's object: what each costs in <c>general_profit</c>.</summary>
    public const int Bytes = 64;

    public MergingSpace Space { get; } = space;

    public ulong Address { get; } = address;

    /// <summary>The merged page that its address maps; null while it is none.</summary>
    public StableNode? Stable { get; set; }

    /// <summary>Finds the areas that map it, also those of forked children.</summary>
    public AnonVma? Anon { get; set; }

    /// <summary>The full scan in which it came into the unstable tree; -1 while it is in none.</summary>
    public long UnstableSince { get; set; } = -1;

    /// <summary>The checksum of its bytes at the last look.</summary>
    public uint Checksum { get; set; }

    /// <summary>Looks at it, at most 255.</summary>
    public byte Age { get; set; }

    /// <summary>How many more looks are left out.</summary>
    public byte SkipsLeft { get; set; }
}

/// <summary>An address space with areas that may be merged (<c>struct ksm_mm_slot</c>).</summary>
internal sealed class MergingSpace(MemoryDescriptor mm)
{
    public MemoryDescriptor Mm { get; } = mm;

    /// <summary>Its pages, ascending; null where one went since the scan of it began.</summary>
    public List<RmapItem?> Items { get; } = [];
}

/// <summary>How far ksmd was at a moment, and what it had found.</summary>
internal readonly record struct ScanMark(bool IsBetweenScans, long FullScans, long Scanned, long Skipped, (long Shared, long Sharing, long Items, long Zero) State)
{
    /// <summary>Whether nothing was found between two moments.</summary>
    public bool HasSameState(in ScanMark other) => State == other.State;
}
