namespace MemSim.Hugetlb;

/// <summary>What a mapping of huge pages of a pool maps: a file on hugetlbfs, or the unnamed one of <see cref="MapFlags.HugeTlb"/>, with its pages and the reservations not used yet.</summary>
/// <remarks>Private mappings have an object of their own for their reservations, also those of a named file, which is then the <see cref="Backing"/>.</remarks>
/// <param name="pool">Where its pages come from.</param>
/// <param name="isShared">Whether its mappings share their pages.</param>
/// <param name="owner">The address space that made a private mapping: only its areas use the reservations.</param>
internal sealed class HugetlbFile(HugetlbPool pool, bool isShared, MemoryDescriptor? owner)
{
    public HugetlbPool Pool { get; } = pool;

    public ulong Bytes { get; } = pool.PageSize.Bytes;

    public bool IsShared { get; } = isShared;

    public MemoryDescriptor? Owner { get; } = owner;

    /// <summary>The file whose pages a private mapping shows until it writes to them.</summary>
    public HugetlbFile? Backing { get; init; }

    /// <summary>The named file whose pages these are; null for unnamed memory and private mappings.</summary>
    public SimFile? Host { get; init; }

    /// <summary>Areas that map it, names and open handles, private mappings that show its pages.</summary>
    public int Users { get; set; } = 1;

    /// <summary>Indexes for which a page of the pool is promised.</summary>
    public HashSet<ulong> Reserved { get; } = [];

    /// <summary>The pages of a shared mapping or named file by index: each has a reference of the file's.</summary>
    public Dictionary<ulong, int> Pages { get; } = [];

    /// <summary>Address spaces whose pages were taken away because the owner could not copy them: what they touch next is a bus error.</summary>
    public HashSet<MemoryDescriptor> Unmapped { get; } = [];

    /// <summary>Whether an address space may use the reservations.</summary>
    public bool MayUseReserve(MemoryDescriptor mm) => IsShared || ReferenceEquals(mm, Owner);
}
