using System.Runtime.CompilerServices;

namespace MemSim.Hardware;

/// <summary>What an entry that the hardware does not use stands for.</summary>
internal enum SoftEntryKind
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>A page in a swap area: type is the area, offset the slot.</summary>
    Swap,

    /// <summary>A page that is being moved, mapped for reading.</summary>
    MigrationRead,

    /// <summary>A page that is being moved, mapped for writing.</summary>
    MigrationWrite,

    /// <summary>A page taken out of use.</summary>
    HwPoison,

    /// <summary>No page, but something that is remembered of the address: the offset holds <see cref="PteMarkers"/>.</summary>
    Marker,

    /// <summary>Nothing that this machine has: the entry was overwritten.</summary>
    Bad,
}

/// <summary>What an entry without a page remembers (<c>PTE_MARKER_*</c>).</summary>
[Flags]
internal enum PteMarkers
{
    None = 0,

    /// <summary>A page that comes here is write-protected for userfaultfd.</summary>
    WriteProtected = 1,

    /// <summary>An access gets SIGBUS, as if the page had been lost.</summary>
    Poisoned = 2,

    /// <summary>An access gets SIGSEGV: <c>MADV_GUARD_INSTALL</c>.</summary>
    Guard = 4,
}

/// <summary>An entry that is not present, decoded.</summary>
/// <param name="Kind">What it stands for.</param>
/// <param name="Type">The swap area, or the kernel's number of the kind.</param>
/// <param name="Offset">The slot in the area, or the frame number.</param>
/// <param name="Exclusive">Whether the page belongs to this address space alone.</param>
internal readonly record struct SoftEntry(SoftEntryKind Kind, int Type, long Offset, bool Exclusive);

/// <summary>Lowest-level entries as the kernel sees them: tests and changes of bits, and what it keeps in entries that are not present, by the layouts of Linux 6.1.</summary>
/// <remarks>
/// One type for all formats: what differs is a branch that always goes the same way. "Present" is the kernel's word: a page mapped without any rights
/// (PROT_NONE) is present to the kernel but not to the hardware. On x86 with more than two levels such entries hold the complement of the frame number, and
/// swap entries that of the offset, against L1TF.
/// </remarks>
internal sealed class PteLayout
{
    /// <summary>The swap type of migration entries for reading; one more is for writing, two more are poisoned pages.</summary>
    public const int MigrationReadType = 28;

    public const int MigrationWriteType = 29;

    public const int HwPoisonType = 30;

    public const int MarkerType = 31;

    /// <summary>Slots that an area can have.</summary>
    public const long MaxSwapOffset = 1L << 26;

    /// <summary>How many bytes one lowest-level table maps.</summary>
    public ulong TableBytes { get; }

    private const ulong X86ProtNone = 1 << 8;
    private const ulong Arm64ProtNone = 1UL << 58;
    private const ulong Arm64SoftDirtyState = 1UL << 55;
    private const ulong X86LowAddressMask = 0xffff_f000;

    private const ulong X86Protected = 1 << 10;
    private const ulong X86SoftProtected = 1 << 2;

    private readonly ulong _protect;
    private readonly bool _arm;
    private readonly bool _inverts;
    private readonly ulong _hardwarePresent;
    private readonly ulong _protNone;
    private readonly ulong _present;
    private readonly ulong _addressMask;
    private readonly ulong _accessed;
    private readonly long _frames;

    /// <summary>The layout of an architecture.</summary>
    /// <param name="architecture">The architecture.</param>
    /// <param name="frames">Frame numbers that the machine has.</param>
    public PteLayout(Architecture architecture, long frames = int.MaxValue)
    {
        _frames = frames;
        TableBytes = architecture == Architecture.X86_32 ? 4UL << 20 : PageGeometry.HugeBytes;
        _arm = architecture == Architecture.Arm64;
        Is32Bit = architecture == Architecture.X86_32;
        _inverts = architecture is Architecture.X86_64 or Architecture.X86_32Pae;
        _hardwarePresent = 1;
        _protNone = _arm ? Arm64ProtNone : X86ProtNone;
        _present = _hardwarePresent | _protNone;
        _addressMask = _arm ? Arm64Format.AddressMask : Is32Bit ? X86LowAddressMask : X86Entry.AddressMask;
        _protect = architecture == Architecture.X86_64 ? X86Protected : 0;
        _accessed = _arm ? Arm64Format.AccessFlag : X86Entry.Accessed;
    }

    /// <summary>log2 of the pages that an entry of the second level maps (<c>HPAGE_PMD_ORDER</c>).</summary>
    public static int HugeOrderOf(Architecture architecture) => architecture == Architecture.X86_32 ? 10 : PageGeometry.HugeOrder;

    /// <summary>The largest frame number that an entry can name.</summary>
    public int MaxPfn => (int)Math.Min(_addressMask >> PageGeometry.PageShift, int.MaxValue);

    /// <summary>Whether entries have four bytes.</summary>
    public bool Is32Bit { get; }

    /// <summary>Whether the kernel regards an entry as mapping a page (<c>pte_present()</c>).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsPresent(ulong entry) => (entry & _present) != 0;

    /// <summary>Whether it maps a page without any rights.</summary>
    public bool IsProtNone(ulong entry) => (entry & (_hardwarePresent | _protNone)) == _protNone;

    /// <summary>The frame mapped (<c>pte_pfn()</c>): whatever the entry says, or the largest number where it says more than frame numbers can be. Whether the machine has it, and whether it is mapped there, is to be asked.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Pfn(ulong entry)
    {
        if (_inverts && (entry & _hardwarePresent) == 0)
        {
            entry ^= _addressMask;
        }

        return (int)Math.Min((entry & _addressMask) >> PageGeometry.PageShift, int.MaxValue);
    }

    /// <summary>Maps a frame with the bits of an area.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Make(int pfn, ulong bits)
    {
        ulong address = (ulong)(uint)pfn << PageGeometry.PageShift;
        return bits | (_inverts && (bits & _hardwarePresent) == 0 ? ~address & _addressMask : address);
    }

    /// <summary>The bits of an area without any rights, made from those of a readable one.</summary>
    public ulong ProtNoneBits(ulong readable) => _arm
        ? (readable & ~_hardwarePresent) | _protNone
        : (readable & ~(_hardwarePresent | X86Entry.Writable | X86Entry.User)) | _protNone;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsWritable(ulong entry) => _arm ? (entry & Arm64Format.DirtyModifier) != 0 : (entry & X86Entry.Writable) != 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsDirty(ulong entry) => _arm
        ? (entry & Arm64SoftDirtyState) != 0 || (entry & (Arm64Format.DirtyModifier | Arm64Format.ReadOnly)) == Arm64Format.DirtyModifier
        : (entry & X86Entry.Dirty) != 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsYoung(ulong entry) => (entry & _accessed) != 0;

    public ulong MakeYoung(ulong entry) => entry | _accessed;

    public ulong MakeOld(ulong entry) => entry & ~_accessed;

    /// <summary>Writable, with the dirty state it has (<c>pte_mkwrite()</c>); not while it is protected for userfaultfd.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong MakeWritable(ulong entry) => !_arm
        ? entry | (X86Entry.Writable & ~((entry & _protect) >> 9))
        : (entry & Arm64SoftDirtyState) != 0 ? (entry | Arm64Format.DirtyModifier) & ~Arm64Format.ReadOnly : entry | Arm64Format.DirtyModifier;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong MakeDirty(ulong entry)
    {
        if (!_arm)
        {
            return entry | X86Entry.Dirty;
        }

        entry |= Arm64SoftDirtyState;
        return (entry & Arm64Format.DirtyModifier) != 0 ? entry & ~Arm64Format.ReadOnly : entry;
    }

    /// <summary>Clean: the next write sets the dirty state again (<c>pte_mkclean()</c>).</summary>
    public ulong MakeClean(ulong entry) => _arm ? (entry & ~Arm64SoftDirtyState) | Arm64Format.ReadOnly : entry & ~X86Entry.Dirty;

    /// <summary>Not writable; the dirty state is kept (<c>pte_wrprotect()</c>).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong WriteProtect(ulong entry)
    {
        if (!_arm)
        {
            return entry & ~X86Entry.Writable;
        }

        // arm64 keeps the dirty state of a read-only entry in a software bit.
        entry |= IsDirty(entry) ? Arm64SoftDirtyState : 0;
        return (entry & ~Arm64Format.DirtyModifier) | Arm64Format.ReadOnly;
    }

    /// <summary>Whether entries have a bit for userfaultfd's write protection: x86-64 only.</summary>
    public bool CanProtect => _protect != 0;

    /// <summary>Whether a write is to be told to a userfaultfd (<c>pte_uffd_wp()</c>).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsProtected(ulong entry) => (entry & _protect) != 0;

    /// <summary>Not writable, and no write makes it so before userfaultfd allows it (<c>pte_mkuffd_wp()</c>).</summary>
    public ulong Protect(ulong entry) => _protect == 0 ? entry : (entry | _protect) & ~X86Entry.Writable;

    /// <summary>Userfaultfd does not care any more; the right to write is given by others.</summary>
    public ulong Release(ulong entry) => entry & ~_protect;

    /// <summary>Whether an entry that is not present, and no marker, is protected (<c>pte_swp_uffd_wp()</c>).</summary>
    public bool IsSoftProtected(ulong entry) => _protect != 0 && (entry & X86SoftProtected) != 0;

    /// <summary>As <see cref="Protect"/>, of an entry that is not present, and no marker.</summary>
    public ulong ProtectSoft(ulong entry) => _protect == 0 ? entry : entry | X86SoftProtected;

    /// <summary>As <see cref="Release"/>, of an entry that is not present, and no marker.</summary>
    public ulong ReleaseSoft(ulong entry) => _protect == 0 ? entry : entry & ~X86SoftProtected;

    /// <summary>An entry of any kind without userfaultfd's protection; 0 for a marker that said nothing else.</summary>
    public ulong Forget(ulong entry)
    {
        if (entry == 0 || _protect == 0 || IsPresent(entry))
        {
            return Release(entry);
        }

        PteMarkers markers = Markers(entry);
        return markers == PteMarkers.None ? ReleaseSoft(entry) : markers == PteMarkers.WriteProtected ? 0 : MakeMarker(markers & ~PteMarkers.WriteProtected);
    }

    /// <summary>The same frame with the rights of other bits; accessed and dirty state and userfaultfd's protection are kept (<c>pte_modify()</c>).</summary>
    public ulong Modify(ulong entry, ulong bits)
    {
        // Not by its number: what an overwritten entry names may be more than a number holds.
        ulong made = bits | ((entry ^ (Inverts(entry) == Inverts(bits) ? 0 : _addressMask)) & _addressMask);
        made = IsYoung(entry) ? MakeYoung(made) : MakeOld(made);
        made = IsDirty(entry) ? MakeDirty(made) : made;
        return IsProtected(entry) ? Protect(made) : made;
    }

    /// <summary>Whether the frame number in an entry is its complement.</summary>
    private bool Inverts(ulong entry) => _inverts && (entry & _hardwarePresent) == 0;

    /// <summary>Whether <see cref="Modify"/> comes to keeping some bits and setting others, for entries that <see cref="IsPlain"/> is true of.</summary>
    /// <param name="bits">The bits of the area.</param>
    /// <param name="keep">The bits that stay.</param>
    /// <param name="set">The bits that are set.</param>
    public bool TryModifyPlainly(ulong bits, out ulong keep, out ulong set)
    {
        keep = _addressMask | X86Entry.Accessed | X86Entry.Dirty;
        set = bits & ~X86Entry.Accessed;
        return !_arm && (bits & _hardwarePresent) != 0;
    }

    /// <summary>Whether the hardware uses an entry, its frame has a number, and userfaultfd does not protect it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsPlain(ulong entry) => (entry & (_hardwarePresent | _protect)) == _hardwarePresent && (entry & _addressMask) >> PageGeometry.PageShift <= int.MaxValue;

    /// <summary>An entry that maps another frame with the same rights and state.</summary>
    public ulong WithPfn(ulong entry, int pfn) => Make(pfn, entry & ~_addressMask);

    /// <summary>Whether an entry of the second level maps a huge page in the kernel's eyes, rights or not (<c>pmd_trans_huge()</c>, <c>pmd_huge()</c>).</summary>
    public bool IsHuge(ulong entry) => _arm
        ? (entry & 3) == 1 || (entry & (_hardwarePresent | Arm64ProtNone)) == Arm64ProtNone
        : (entry & X86Entry.PageSize) != 0 && (entry & _present) != 0;

    /// <summary>A lowest-level entry as one of the second level (<c>pmd_mkhuge()</c>).</summary>
    public ulong MakeHuge(ulong entry) => _arm ? entry & ~2UL : entry | X86Entry.PageSize;

    /// <summary>An entry of the second level as one of the lowest, for its first page.</summary>
    public ulong MakeSmall(ulong entry) => _arm ? entry | 2 : entry & ~X86Entry.PageSize;

    /// <summary>An entry for a page in a swap area.</summary>
    public ulong MakeSwapEntry(int type, long offset)
    {
        if (_arm)
        {
            return ((ulong)(uint)type << 3) | ((ulong)offset << 8);
        }

        return Is32Bit
            ? ((ulong)(uint)type << 1) | ((ulong)offset << 9 & uint.MaxValue)
            : (~(ulong)offset << 14 >> 5) | ((ulong)(uint)type << 59);
    }

    /// <summary>An entry for a page that is being moved.</summary>
    public ulong MakeMigrationEntry(int pfn, bool write) => MakeSwapEntry(write ? MigrationWriteType : MigrationReadType, pfn);

    /// <summary>An entry for a page with a hardware error.</summary>
    public ulong MakeHwPoisonEntry(int pfn) => MakeSwapEntry(HwPoisonType, pfn);

    /// <summary>Whether an entry stands for a page with a hardware error.</summary>
    public bool IsHwPoison(ulong entry) => TryDecodeSwapEntry(entry, out SoftEntry soft) && soft.Kind == SoftEntryKind.HwPoison;

    /// <summary>An entry that remembers something where no page is (<c>make_pte_marker()</c>).</summary>
    public ulong MakeMarker(PteMarkers markers) => MakeSwapEntry(MarkerType, (long)markers);

    /// <summary>What an entry without a page remembers.</summary>
    public PteMarkers Markers(ulong entry) => TryDecodeSwapEntry(entry, out SoftEntry soft) && soft.Kind == SoftEntryKind.Marker ? (PteMarkers)soft.Offset : PteMarkers.None;

    /// <summary>Marks a swap entry as belonging to this address space alone; without effect where 6.1 has no bit for it (x86-32).</summary>
    public ulong MakeExclusive(ulong entry) => _arm ? entry | (1 << 2) : Is32Bit ? entry : entry | (1 << 3);

    public ulong ClearExclusive(ulong entry) => _arm ? entry & ~(1UL << 2) : Is32Bit ? entry : entry & ~(1UL << 3);

    /// <summary>Decodes an entry that is not present.</summary>
    /// <returns>False for an empty entry and for one that maps a page.</returns>
    public bool TryDecodeSwapEntry(ulong entry, out SoftEntry decoded)
    {
        decoded = default;
        if (entry == 0 || IsPresent(entry))
        {
            return false;
        }

        int type;
        long offset;
        bool exclusive;
        if (_arm)
        {
            type = (int)(entry >> 3) & 31;
            offset = (long)(entry >> 8 & ((1UL << 50) - 1));
            exclusive = (entry & (1 << 2)) != 0;
        }
        else if (Is32Bit)
        {
            type = (int)(entry >> 1) & 31;
            offset = (long)(entry >> 9);
            exclusive = false;
        }
        else
        {
            type = (int)(entry >> 59);
            offset = (long)(~entry << 5 >> 14);
            exclusive = (entry & (1 << 3)) != 0;
        }

        SoftEntryKind kind = type switch { MigrationReadType => SoftEntryKind.MigrationRead, MigrationWriteType => SoftEntryKind.MigrationWrite, HwPoisonType => SoftEntryKind.HwPoison, MarkerType => SoftEntryKind.Marker, _ => SoftEntryKind.Swap };
        bool exists = kind switch { SoftEntryKind.Swap => offset < MaxSwapOffset, SoftEntryKind.HwPoison => true, SoftEntryKind.Marker => offset is > 0 and <= (long)(PteMarkers.WriteProtected | PteMarkers.Poisoned | PteMarkers.Guard), _ => offset < _frames };
        decoded = new SoftEntry(exists ? kind : SoftEntryKind.Bad, type, offset, exclusive);
        return true;
    }
}
