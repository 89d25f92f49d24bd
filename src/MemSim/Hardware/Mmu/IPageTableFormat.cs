namespace MemSim.Hardware;

/// <summary>Permission bits of an entry, arranged so that the permissions along a walk are their bitwise AND.</summary>
internal static class Permission
{
    public const uint Write = 1;
    public const uint User = 2;
    public const uint KernelExecute = 4;
    public const uint UserExecute = 8;
    public const uint Mask = 15;

    // Of a leaf only; kept beside the permissions in TLB entries.
    public const uint Global = 16;
    public const uint Dirty = 32;
}

/// <summary>The bits of an architecture's page-table entries. Implemented by empty structs, so that generic code is compiled for each format without a call.</summary>
/// <remarks>Levels count from 1 (the table whose entries map single pages) upwards, as the kernel's <c>PG_LEVEL_*</c> do.</remarks>
internal interface IPageTableFormat
{
    /// <summary>Number of levels.</summary>
    static abstract int Levels { get; }

    /// <summary>log2 of the bytes of an entry.</summary>
    static abstract int EntryShift { get; }

    /// <summary>log2 of the bytes that an entry of a level covers.</summary>
    static abstract int Shift(int level);

    /// <summary>log2 of the entries in a table of a level.</summary>
    static abstract int IndexBits(int level);

    /// <summary>Whether an entry of a level can map a page directly.</summary>
    static abstract bool CanBeLeaf(int level);

    /// <summary>The kernel's name of a level's tables; folded levels have no tables.</summary>
    static abstract string Name(int level);

    static abstract bool IsCanonical(ulong address);

    static abstract bool IsPresent(ulong entry);

    /// <summary>Whether a present entry maps a page rather than leading to a table.</summary>
    static abstract bool IsLeaf(ulong entry, int level);

    /// <summary>Whether bits are set that the hardware reserves.</summary>
    static abstract bool HasReservedBits(ulong entry, int level);

    /// <summary>Whether an entry above level 1 leads to a table and a walk would change nothing in it.</summary>
    static abstract bool IsPlainTable(ulong entry, int level);

    static abstract ulong TableBase(ulong entry);

    static abstract ulong LeafBase(ulong entry, int level);

    /// <summary>An entry that leads to a table.</summary>
    static abstract ulong MakeTable(ulong table, int level, bool user);

    /// <summary>An entry that maps a page.</summary>
    static abstract ulong MakeLeaf(ulong page, int level, PageProtection protection);

    /// <summary>The protection of a leaf.</summary>
    static abstract PageProtection Decode(ulong entry, int level);

    /// <summary>The permissions of a table entry, to be ANDed.</summary>
    static abstract uint TablePermissions(ulong entry, int level);

    /// <summary>The permissions of a leaf with <see cref="Permission.Global"/> and <see cref="Permission.Dirty"/>.</summary>
    static abstract uint LeafPermissions(ulong entry, int level);

    /// <summary>The entry as the walker leaves it after using it; table entries have an accessed bit on x86 only.</summary>
    static abstract ulong MarkAccessed(ulong entry, bool leaf, int level);

    /// <summary>A leaf as the hardware leaves it after a write.</summary>
    static abstract ulong MarkDirty(ulong entry);
}
