using System.Runtime.CompilerServices;

namespace MemSim.Hardware;

/// <summary>Bits of x86 page-table entries and what all x86 formats share.</summary>
internal static class X86Entry
{
    public const ulong Present = 1 << 0;
    public const ulong Writable = 1 << 1;
    public const ulong User = 1 << 2;
    public const ulong WriteThrough = 1 << 3;
    public const ulong CacheDisable = 1 << 4;
    public const ulong Accessed = 1 << 5;
    public const ulong Dirty = 1 << 6;
    public const ulong PageSize = 1 << 7;
    public const ulong Global = 1 << 8;
    public const ulong NoExecute = 1UL << 63;

    /// <summary>Address bits 12 to 51.</summary>
    public const ulong AddressMask = 0x000f_ffff_ffff_f000;

    public static ulong MakeTable(ulong table, bool user) => table | Present | Writable | Accessed | Dirty | (user ? User : 0);

    public static ulong MakeLeaf(ulong page, int level, PageProtection protection, bool hasNoExecute)
    {
        ulong entry = page | Present;
        entry |= (protection & PageProtection.Write) != 0 ? Writable : 0;
        entry |= (protection & PageProtection.User) != 0 ? User : 0;
        entry |= (protection & PageProtection.WriteThrough) != 0 ? WriteThrough : 0;
        entry |= (protection & PageProtection.NoCache) != 0 ? CacheDisable : 0;
        entry |= (protection & PageProtection.Accessed) != 0 ? Accessed : 0;
        entry |= (protection & PageProtection.Dirty) != 0 ? Dirty : 0;
        entry |= (protection & PageProtection.Global) != 0 ? Global : 0;
        entry |= level > 1 ? PageSize : 0;
        entry |= hasNoExecute && (protection & PageProtection.Execute) == 0 ? NoExecute : 0;
        return entry;
    }

    public static PageProtection Decode(ulong entry) =>
        ((entry & Writable) != 0 ? PageProtection.Write : 0)
        | ((entry & NoExecute) == 0 ? PageProtection.Execute : 0)
        | ((entry & User) != 0 ? PageProtection.User : 0)
        | ((entry & Global) != 0 ? PageProtection.Global : 0)
        | ((entry & Accessed) != 0 ? PageProtection.Accessed : 0)
        | ((entry & Dirty) != 0 ? PageProtection.Dirty : 0)
        | ((entry & CacheDisable) != 0 ? PageProtection.NoCache : 0)
        | ((entry & WriteThrough) != 0 ? PageProtection.WriteThrough : 0);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Permissions(ulong entry)
    {
        // Bits 1 and 2 (writable, user) move to 0 and 1; no-execute takes both execute permissions away.
        uint execute = (uint)(~entry >> 63);
        return ((uint)(entry >> 1) & 3) | (execute * (Permission.KernelExecute | Permission.UserExecute));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint LeafPermissions(ulong entry) => Permissions(entry) | ((uint)(entry >> 4) & Permission.Global) | ((uint)(entry >> 1) & Permission.Dirty);
}

/// <summary>x86-64 with four levels: 48-bit virtual addresses.</summary>
internal readonly struct X86FourLevel : IPageTableFormat
{
    public static int Levels => 4;

    public static int EntryShift => 3;

    public static int Shift(int level) => 3 + (9 * level);

    public static int IndexBits(int level) => 9;

    public static bool CanBeLeaf(int level) => level <= 3;

    public static string Name(int level) => level switch { 1 => "pte", 2 => "pmd", 3 => "pud", _ => "pgd" };

    public static bool IsCanonical(ulong address) => (ulong)((long)(address << 16) >> 16) == address;

    public static bool IsPresent(ulong entry) => (entry & X86Entry.Present) != 0;

    public static bool IsLeaf(ulong entry, int level) => level == 1 || (level <= 3 && (entry & X86Entry.PageSize) != 0);

    public static bool HasReservedBits(ulong entry, int level) =>
        (level == 4 && (entry & X86Entry.PageSize) != 0) || (level is 2 or 3 && (entry & X86Entry.PageSize) != 0 && (entry & X86Entry.AddressMask & ((1UL << Shift(level)) - 1) & ~(1UL << 12)) != 0);

    public static bool IsPlainTable(ulong entry, int level) => (entry & (X86Entry.Present | X86Entry.Accessed | X86Entry.PageSize)) == (X86Entry.Present | X86Entry.Accessed);

    public static ulong TableBase(ulong entry) => entry & X86Entry.AddressMask;

    public static ulong LeafBase(ulong entry, int level) => entry & X86Entry.AddressMask & ~((1UL << Shift(level)) - 1);

    public static ulong MakeTable(ulong table, int level, bool user) => X86Entry.MakeTable(table, user);

    public static ulong MakeLeaf(ulong page, int level, PageProtection protection) => X86Entry.MakeLeaf(page, level, protection, hasNoExecute: true);

    public static PageProtection Decode(ulong entry, int level) => X86Entry.Decode(entry);

    public static uint TablePermissions(ulong entry, int level) => X86Entry.Permissions(entry);

    public static uint LeafPermissions(ulong entry, int level) => X86Entry.LeafPermissions(entry);

    public static ulong MarkAccessed(ulong entry, bool leaf, int level) => entry | X86Entry.Accessed;

    public static ulong MarkDirty(ulong entry) => entry | X86Entry.Dirty;
}

/// <summary>x86-64 with five levels (LA57): 57-bit virtual addresses.</summary>
internal readonly struct X86FiveLevel : IPageTableFormat
{
    public static int Levels => 5;

    public static int EntryShift => 3;

    public static int Shift(int level) => 3 + (9 * level);

    public static int IndexBits(int level) => 9;

    public static bool CanBeLeaf(int level) => level <= 3;

    public static string Name(int level) => level switch { 1 => "pte", 2 => "pmd", 3 => "pud", 4 => "p4d", _ => "pgd" };

    public static bool IsCanonical(ulong address) => (ulong)((long)(address << 7) >> 7) == address;

    public static bool IsPresent(ulong entry) => (entry & X86Entry.Present) != 0;

    public static bool IsLeaf(ulong entry, int level) => X86FourLevel.IsLeaf(entry, level);

    public static bool HasReservedBits(ulong entry, int level) => X86FourLevel.HasReservedBits(entry, Math.Min(level, 4));

    public static bool IsPlainTable(ulong entry, int level) => (entry & (X86Entry.Present | X86Entry.Accessed | X86Entry.PageSize)) == (X86Entry.Present | X86Entry.Accessed);

    public static ulong TableBase(ulong entry) => entry & X86Entry.AddressMask;

    public static ulong LeafBase(ulong entry, int level) => X86FourLevel.LeafBase(entry, level);

    public static ulong MakeTable(ulong table, int level, bool user) => X86Entry.MakeTable(table, user);

    public static ulong MakeLeaf(ulong page, int level, PageProtection protection) => X86Entry.MakeLeaf(page, level, protection, hasNoExecute: true);

    public static PageProtection Decode(ulong entry, int level) => X86Entry.Decode(entry);

    public static uint TablePermissions(ulong entry, int level) => X86Entry.Permissions(entry);

    public static uint LeafPermissions(ulong entry, int level) => X86Entry.LeafPermissions(entry);

    public static ulong MarkAccessed(ulong entry, bool leaf, int level) => entry | X86Entry.Accessed;

    public static ulong MarkDirty(ulong entry) => entry | X86Entry.Dirty;
}

/// <summary>x86-32 with PAE: three levels, the top one of four entries without permissions.</summary>
internal readonly struct X86Pae : IPageTableFormat
{
    public static int Levels => 3;

    public static int EntryShift => 3;

    public static int Shift(int level) => 3 + (9 * level);

    public static int IndexBits(int level) => level == 3 ? 2 : 9;

    public static bool CanBeLeaf(int level) => level <= 2;

    public static string Name(int level) => level switch { 1 => "pte", 2 => "pmd", _ => "pgd" };

    public static bool IsCanonical(ulong address) => address <= uint.MaxValue;

    public static bool IsPresent(ulong entry) => (entry & X86Entry.Present) != 0;

    public static bool IsLeaf(ulong entry, int level) => level == 1 || (level == 2 && (entry & X86Entry.PageSize) != 0);

    public static bool HasReservedBits(ulong entry, int level) => level == 3
        ? (entry & (X86Entry.Writable | X86Entry.User | X86Entry.PageSize | X86Entry.Global | X86Entry.NoExecute)) != 0
        : X86FourLevel.HasReservedBits(entry, level);

    public static bool IsPlainTable(ulong entry, int level) => level == 3
        ? X86Entry.Present == (entry & (X86Entry.Present | X86Entry.Writable | X86Entry.User | X86Entry.PageSize | X86Entry.Global | X86Entry.NoExecute))
        : (entry & (X86Entry.Present | X86Entry.Accessed | X86Entry.PageSize)) == (X86Entry.Present | X86Entry.Accessed);

    public static ulong TableBase(ulong entry) => entry & X86Entry.AddressMask;

    public static ulong LeafBase(ulong entry, int level) => X86FourLevel.LeafBase(entry, level);

    // A pointer-table entry knows neither permissions nor an accessed bit.
    public static ulong MakeTable(ulong table, int level, bool user) => level == 3 ? table | X86Entry.Present : X86Entry.MakeTable(table, user);

    public static ulong MakeLeaf(ulong page, int level, PageProtection protection) => X86Entry.MakeLeaf(page, level, protection, hasNoExecute: true);

    public static PageProtection Decode(ulong entry, int level) => X86Entry.Decode(entry);

    public static uint TablePermissions(ulong entry, int level) => level == 3 ? Permission.Mask : X86Entry.Permissions(entry);

    public static uint LeafPermissions(ulong entry, int level) => X86Entry.LeafPermissions(entry);

    public static ulong MarkAccessed(ulong entry, bool leaf, int level) => level == 3 ? entry : entry | X86Entry.Accessed;

    public static ulong MarkDirty(ulong entry) => entry | X86Entry.Dirty;
}

/// <summary>x86-32 without PAE: two levels of 1024 entries of four bytes, pages of 4 KiB and 4 MiB, no no-execute bit.</summary>
internal readonly struct X86TwoLevel : IPageTableFormat
{
    private const ulong AddressMask = 0xffff_f000;

    public static int Levels => 2;

    public static int EntryShift => 2;

    public static int Shift(int level) => 2 + (10 * level);

    public static int IndexBits(int level) => 10;

    public static bool CanBeLeaf(int level) => level <= 2;

    public static string Name(int level) => level == 1 ? "pte" : "pgd";

    public static bool IsCanonical(ulong address) => address <= uint.MaxValue;

    public static bool IsPresent(ulong entry) => (entry & X86Entry.Present) != 0;

    public static bool IsLeaf(ulong entry, int level) => level == 1 || (entry & X86Entry.PageSize) != 0;

    // Bits 13 to 20 of a 4 MiB entry are address bits 32 to 39 (PSE-36); bit 21 must be 0.
    public static bool HasReservedBits(ulong entry, int level) => level == 2 && (entry & X86Entry.PageSize) != 0 && (entry & (1 << 21)) != 0;

    public static bool IsPlainTable(ulong entry, int level) => (entry & (X86Entry.Present | X86Entry.Accessed | X86Entry.PageSize)) == (X86Entry.Present | X86Entry.Accessed);

    public static ulong TableBase(ulong entry) => entry & AddressMask;

    public static ulong LeafBase(ulong entry, int level) =>
        level == 1 ? entry & AddressMask : (entry & 0xffc0_0000) | ((entry >> 13 & 0xff) << 32);

    public static ulong MakeTable(ulong table, int level, bool user) => X86Entry.MakeTable(table, user);

    public static ulong MakeLeaf(ulong page, int level, PageProtection protection)
    {
        ulong address = level == 1 ? page : (page & 0xffc0_0000) | ((page >> 32 & 0xff) << 13);
        return X86Entry.MakeLeaf(address, level, protection, hasNoExecute: false);
    }

    public static PageProtection Decode(ulong entry, int level) => X86Entry.Decode(entry);

    public static uint TablePermissions(ulong entry, int level) => X86Entry.Permissions(entry);

    public static uint LeafPermissions(ulong entry, int level) => X86Entry.LeafPermissions(entry);

    public static ulong MarkAccessed(ulong entry, bool leaf, int level) => entry | X86Entry.Accessed;

    public static ulong MarkDirty(ulong entry) => entry | X86Entry.Dirty;
}
