namespace MemSim.AddressSpaces.Huge;

/// <summary>What a mapping with <see cref="MapFlags.HugeTlb"/> maps: the unnamed file on hugetlbfs, with the pages of a shared mapping and the reservations not used yet.</summary>
/// <param name="isShared">Whether its mappings share their pages.</param>
/// <param name="owner">The address space that made it: only its private mappings use the reservations.</param>
internal sealed class HugetlbFile(bool isShared, MemoryDescriptor owner)
{
    public bool IsShared { get; } = isShared;

    public MemoryDescriptor Owner { get; } = owner;

    /// <summary>Areas that map it.</summary>
    public int Areas { get; set; } = 1;

    /// <summary>Indexes for which a page of the pool is promised.</summary>
    public HashSet<ulong> Reserved { get; } = [];

    /// <summary>The pages of a shared mapping by index: each has a reference of the file's.</summary>
    public Dictionary<ulong, int> Pages { get; } = [];

    /// <summary>Address spaces whose pages were taken away because the owner could not copy them: what they touch next is a bus error.</summary>
    public HashSet<MemoryDescriptor> Unmapped { get; } = [];

    /// <summary>Whether an address space may use the reservations.</summary>
    public bool MayUseReserve(MemoryDescriptor mm) => IsShared || ReferenceEquals(mm, Owner);
}
