namespace MemSim.Hardware;

/// <summary>arm64 with 48-bit addresses: four levels with pages of 4 and 16 KiB, three with pages of 64 KiB, under each of TTBR0 (user) and TTBR1 (kernel); hardware access flag and dirty state.</summary>
internal readonly struct Arm64Format : IPageTableFormat
{
    public const ulong Valid = 1 << 0;

    /// <summary>A table above level 1, a page on level 1; clear for a block.</summary>
    public const ulong TableOrPage = 1 << 1;

    public const ulong UserAccess = 1 << 6;
    public const ulong ReadOnly = 1 << 7;
    public const ulong InnerShareable = 3 << 8;
    public const ulong AccessFlag = 1 << 10;
    public const ulong NotGlobal = 1 << 11;

    /// <summary>The dirty bit modifier: a read-only page with it is writable and clean.</summary>
    public const ulong DirtyModifier = 1UL << 51;

    public const ulong PrivilegedExecuteNever = 1UL << 53;
    public const ulong UserExecuteNever = 1UL << 54;

    public const ulong PrivilegedExecuteNeverTable = 1UL << 59;
    public const ulong UserExecuteNeverTable = 1UL << 60;
    public const ulong UserAccessNeverTable = 1UL << 61;
    public const ulong ReadOnlyTable = 1UL << 62;

    /// <summary>Address bits from that of the page size to 47.</summary>
    public const ulong AddressMask = 0x0000_ffff_ffff_ffff & PageGeometry.PageMask;

    // Indexes into MAIR_EL1 as Linux fills it: 0 normal, 2 not cached, 3 device; there is none for write-through.
    private const int AttributeShift = 2;
    private const ulong Normal = 0;
    private const ulong Device = 3;

    public static int Levels => PageGeometry.Levels;

    public static int EntryShift => 3;

    public static int Shift(int level) => 3 + (PageGeometry.TableBits * level);

    public static int IndexBits(int level) => PageGeometry.TopBits == PageGeometry.TableBits || level != PageGeometry.Levels ? PageGeometry.TableBits : PageGeometry.TopBits;

    public static bool CanBeLeaf(int level) => level <= PageGeometry.HighestLeaf;

    public static string Name(int level) => level == PageGeometry.Levels ? "pgd" : level switch { 1 => "pte", 2 => "pmd", _ => "pud" };

    public static bool IsCanonical(ulong address) => (address >> PageGeometry.AddressBits) is 0 or ulong.MaxValue >> PageGeometry.AddressBits;

    public static bool IsPresent(ulong entry) => (entry & Valid) != 0;

    public static bool IsLeaf(ulong entry, int level) => level == 1 || (level <= PageGeometry.HighestLeaf && (entry & TableOrPage) == 0);

    // A block on a level that has none, or a "block" on the lowest, is reserved and faults as if not valid.
    public static bool HasReservedBits(ulong entry, int level) => level is 1 or > PageGeometry.HighestLeaf && (entry & TableOrPage) == 0;

    public static bool IsPlainTable(ulong entry, int level) => (entry & (Valid | TableOrPage)) == (Valid | TableOrPage);

    public static ulong TableBase(ulong entry) => entry & AddressMask;

    public static ulong LeafBase(ulong entry, int level) => entry & AddressMask & ~((1UL << Shift(level)) - 1);

    public static ulong MakeTable(ulong table, int level, bool user) => table | Valid | TableOrPage | (user ? PrivilegedExecuteNeverTable : UserExecuteNeverTable);

    public static ulong MakeLeaf(ulong page, int level, PageProtection protection)
    {
        bool write = (protection & PageProtection.Write) != 0;
        bool user = (protection & PageProtection.User) != 0;
        bool execute = (protection & PageProtection.Execute) != 0;
        ulong entry = page | Valid | InnerShareable;
        entry |= level == 1 ? TableOrPage : 0;
        entry |= (protection & PageProtection.Accessed) != 0 ? AccessFlag : 0;
        entry |= (protection & PageProtection.Global) == 0 ? NotGlobal : 0;
        entry |= user ? UserAccess : 0;
        entry |= write ? DirtyModifier : 0;
        entry |= write && (protection & PageProtection.Dirty) != 0 ? 0 : ReadOnly;
        entry |= execute && !user ? 0 : PrivilegedExecuteNever;
        entry |= execute && user ? 0 : UserExecuteNever;
        entry |= ((protection & PageProtection.NoCache) != 0 ? Device : Normal) << AttributeShift;
        return entry;
    }

    public static PageProtection Decode(ulong entry, int level)
    {
        bool user = (entry & UserAccess) != 0;
        bool write = (entry & (DirtyModifier | ReadOnly)) != ReadOnly;
        return (write ? PageProtection.Write : 0)
            | ((entry & (user ? UserExecuteNever : PrivilegedExecuteNever)) == 0 ? PageProtection.Execute : 0)
            | (user ? PageProtection.User : 0)
            | ((entry & NotGlobal) == 0 ? PageProtection.Global : 0)
            | ((entry & AccessFlag) != 0 ? PageProtection.Accessed : 0)
            | ((entry & ReadOnly) == 0 ? PageProtection.Dirty : 0)
            | ((entry >> AttributeShift & 7) is 2 or 3 or 4 ? PageProtection.NoCache : 0);
    }

    public static uint TablePermissions(ulong entry, int level) =>
        ((entry & ReadOnlyTable) == 0 ? Permission.Write : 0)
        | ((entry & UserAccessNeverTable) == 0 ? Permission.User : 0)
        | ((entry & PrivilegedExecuteNeverTable) == 0 ? Permission.KernelExecute : 0)
        | ((entry & UserExecuteNeverTable) == 0 ? Permission.UserExecute : 0);

    public static uint LeafPermissions(ulong entry, int level) =>
        ((entry & (DirtyModifier | ReadOnly)) != ReadOnly ? Permission.Write : 0)
        | ((entry & UserAccess) != 0 ? Permission.User : 0)
        | ((entry & PrivilegedExecuteNever) == 0 && (entry & (UserAccess | ReadOnly)) != UserAccess ? Permission.KernelExecute : 0)
        | ((entry & UserExecuteNever) == 0 ? Permission.UserExecute : 0)
        | ((entry & NotGlobal) == 0 ? Permission.Global : 0)
        | ((entry & ReadOnly) == 0 ? Permission.Dirty : 0);

    public static ulong MarkAccessed(ulong entry, bool leaf, int level) => leaf ? entry | AccessFlag : entry;

    public static ulong MarkDirty(ulong entry) => entry & ~ReadOnly;
}
