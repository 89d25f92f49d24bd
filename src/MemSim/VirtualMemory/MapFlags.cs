namespace MemSim;

/// <summary>What a mapping allows (<c>PROT_*</c>).</summary>
[Flags]
public enum Prot
{
    /// <summary>No access.</summary>
    None = 0,

    /// <summary>Reading.</summary>
    Read = 1,

    /// <summary>Writing.</summary>
    Write = 2,

    /// <summary>Execution.</summary>
    Execute = 4,

    /// <summary>For <c>mprotect</c>: from the start of an area that grows downwards.</summary>
    GrowsDown = 0x0100_0000,

    /// <summary>For <c>mprotect</c>: to the end of an area that grows upwards.</summary>
    GrowsUp = 0x0200_0000,
}

/// <summary>How a mapping is made (<c>MAP_*</c>).</summary>
[Flags]
public enum MapFlags
{
    /// <summary>Nothing: refused, since a mapping is private or shared.</summary>
    None = 0,

    /// <summary>Writes are seen by others and reach the file.</summary>
    Shared = 1,

    /// <summary>Writes go to private copies.</summary>
    Private = 2,

    /// <summary>As <see cref="Shared"/>, unknown flags are refused.</summary>
    SharedValidate = 3,

    /// <summary>At this address; what is mapped there goes.</summary>
    Fixed = 0x10,

    /// <summary>No file: memory full of zeroes.</summary>
    Anonymous = 0x20,

    /// <summary>Grows downwards by faults below it.</summary>
    GrowsDown = 0x100,

    /// <summary>Locked into memory.</summary>
    Locked = 0x2000,

    /// <summary>Not counted against the commit limit.</summary>
    NoReserve = 0x4000,

    /// <summary>Faulted in at once.</summary>
    Populate = 0x8000,

    /// <summary>With <see cref="Populate"/>: nothing is read.</summary>
    NonBlock = 0x1_0000,

    /// <summary>A hint without effect.</summary>
    Stack = 0x2_0000,

    /// <summary>With huge pages of the pool.</summary>
    HugeTlb = 0x4_0000,

    /// <summary>At this address, unless something is mapped there.</summary>
    FixedNoReplace = 0x10_0000,

    /// <summary>With <see cref="HugeTlb"/>: pages of 2 MiB.</summary>
    Huge2MB = 21 << 26,

    /// <summary>With <see cref="HugeTlb"/>: pages of 1 GiB.</summary>
    Huge1GB = 30 << 26,

    /// <summary>With <see cref="HugeTlb"/>: the bits that hold log2 of the page size; 0 for the default size.</summary>
    HugeSizeMask = 63 << 26,
}

/// <summary>How <c>mremap</c> moves (<c>MREMAP_*</c>).</summary>
[Flags]
public enum RemapFlags
{
    /// <summary>Only in place.</summary>
    None = 0,

    /// <summary>May move.</summary>
    MayMove = 1,

    /// <summary>To the given address.</summary>
    Fixed = 2,

    /// <summary>Leaves the old area behind, empty.</summary>
    DontUnmap = 4,
}

/// <summary>Advice about a range (<c>MADV_*</c>).</summary>
public enum MemoryAdvice
{
    /// <summary>No special treatment.</summary>
    Normal = 0,

    /// <summary>Random access: no read-ahead.</summary>
    Random = 1,

    /// <summary>Sequential access.</summary>
    Sequential = 2,

    /// <summary>Read ahead: it will be needed.</summary>
    WillNeed = 3,

    /// <summary>Give the pages up at once.</summary>
    DontNeed = 4,

    /// <summary>The pages may be given up while nobody writes to them.</summary>
    Free = 8,

    /// <summary>Make a hole in the file that is mapped shared.</summary>
    Remove = 9,

    /// <summary>Not copied by fork.</summary>
    DontFork = 10,

    /// <summary>Copied by fork again.</summary>
    DoFork = 11,

    /// <summary>Pages of equal contents may be merged, while ksmd runs (<see cref="KsmSettings.Run"/>).</summary>
    Mergeable = 12,

    /// <summary>Pages are not to be merged any more.</summary>
    Unmergeable = 13,

    /// <summary>Use huge pages.</summary>
    HugePage = 14,

    /// <summary>Use no huge pages.</summary>
    NoHugePage = 15,

    /// <summary>Left out of core dumps.</summary>
    DontDump = 16,

    /// <summary>Part of core dumps again.</summary>
    DoDump = 17,

    /// <summary>Empty in the child after fork.</summary>
    WipeOnFork = 18,

    /// <summary>Copied to the child again.</summary>
    KeepOnFork = 19,

    /// <summary>Deactivate the pages.</summary>
    Cold = 20,

    /// <summary>Reclaim the pages.</summary>
    PageOut = 21,

    /// <summary>Fault in for reading.</summary>
    PopulateRead = 22,

    /// <summary>Fault in for writing.</summary>
    PopulateWrite = 23,

    /// <summary>Give the pages up at once, locked ones too.</summary>
    DontNeedLocked = 24,

    /// <summary>Pretend that the hardware reported an uncorrectable error in the pages (<c>MADV_HWPOISON</c>).</summary>
    HwPoison = 100,

    /// <summary>Move what is in the pages elsewhere and use their frames no more (<c>MADV_SOFT_OFFLINE</c>).</summary>
    SoftOffline = 101,

    /// <summary>Make huge pages of the range now, whatever <c>transparent_hugepage/enabled</c> says.</summary>
    Collapse = 25,

    /// <summary>Give the pages up, and answer every access with SIGSEGV from now on (since 6.13).</summary>
    GuardInstall = 102,

    /// <summary>Take what <see cref="GuardInstall"/> made away (since 6.13).</summary>
    GuardRemove = 103,
}

/// <summary>What <c>mlockall</c> locks (<c>MCL_*</c>).</summary>
[Flags]
public enum LockAll
{
    /// <summary>Nothing: refused.</summary>
    None = 0,

    /// <summary>All that is mapped now.</summary>
    Current = 1,

    /// <summary>All that will be mapped.</summary>
    Future = 2,

    /// <summary>Pages are locked as they are faulted in.</summary>
    OnFault = 4,
}

/// <summary>What <c>msync</c> does (<c>MS_*</c>).</summary>
[Flags]
public enum SyncFlags
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Writing is left to the kernel.</summary>
    Async = 1,

    /// <summary>Other copies are forgotten; refused for locked areas.</summary>
    Invalidate = 2,

    /// <summary>Waits until all is written.</summary>
    Sync = 4,
}

/// <summary>The flags of an area (<c>VM_*</c>, with the kernel's values).</summary>
[Flags]
public enum VmaFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary><c>VM_READ</c>.</summary>
    Read = 1,

    /// <summary><c>VM_WRITE</c>.</summary>
    Write = 2,

    /// <summary><c>VM_EXEC</c>.</summary>
    Exec = 4,

    /// <summary><c>VM_SHARED</c>.</summary>
    Shared = 8,

    /// <summary><c>VM_MAYREAD</c>: mprotect may add reading.</summary>
    MayRead = 0x10,

    /// <summary><c>VM_MAYWRITE</c>.</summary>
    MayWrite = 0x20,

    /// <summary><c>VM_MAYEXEC</c>.</summary>
    MayExec = 0x40,

    /// <summary><c>VM_MAYSHARE</c>.</summary>
    MayShare = 0x80,

    /// <summary><c>VM_GROWSDOWN</c>.</summary>
    GrowsDown = 0x100,

    /// <summary><c>VM_UFFD_MISSING</c>: accesses where no page is are told to a <see cref="Userfaultfd"/>.</summary>
    UserfaultMissing = 0x200,

    /// <summary><c>VM_PFNMAP</c>: entries name frames, not pages: nobody counts them. See <see cref="MemoryDescriptor.MapFrames"/>.</summary>
    PfnMap = 0x400,

    /// <summary><c>VM_MAYBE_GUARD</c>: guards were put into it at some time.</summary>
    MaybeGuard = 0x800,

    /// <summary><c>VM_UFFD_WP</c>: writes to protected pages are told to a <see cref="Userfaultfd"/>.</summary>
    UserfaultProtect = 0x1000,

    /// <summary><c>VM_LOCKED</c>.</summary>
    Locked = 0x2000,

    /// <summary><c>VM_IO</c>: what is there may be a device's, and reading it may have effects.</summary>
    Io = 0x4000,

    /// <summary><c>VM_SEQ_READ</c>.</summary>
    SequentialRead = 0x8000,

    /// <summary><c>VM_RAND_READ</c>.</summary>
    RandomRead = 0x1_0000,

    /// <summary><c>VM_DONTCOPY</c>: not copied by fork.</summary>
    DontCopy = 0x2_0000,

    /// <summary><c>VM_DONTEXPAND</c>: mremap may not enlarge it.</summary>
    DontExpand = 0x4_0000,

    /// <summary><c>VM_LOCKONFAULT</c>.</summary>
    LockOnFault = 0x8_0000,

    /// <summary><c>VM_ACCOUNT</c>: counted against the commit limit.</summary>
    Account = 0x10_0000,

    /// <summary><c>VM_NORESERVE</c>.</summary>
    NoReserve = 0x20_0000,

    /// <summary><c>VM_HUGETLB</c>.</summary>
    HugeTlb = 0x40_0000,

    /// <summary><c>VM_UFFD_MINOR</c>, whose bit is above the 32nd in the kernel: accesses to pages that are in the file but not mapped are told.</summary>
    UserfaultMinor = 0x80_0000,

    /// <summary><c>VM_WIPEONFORK</c>.</summary>
    WipeOnFork = 0x200_0000,

    /// <summary><c>VM_DONTDUMP</c>.</summary>
    DontDump = 0x400_0000,

    /// <summary><c>VM_HUGEPAGE</c>: madvise asked for huge pages.</summary>
    HugePage = 0x2000_0000,

    /// <summary><c>VM_NOHUGEPAGE</c>.</summary>
    NoHugePage = 0x4000_0000,

    /// <summary><c>VM_MERGEABLE</c>: ksmd may merge its pages.</summary>
    Mergeable = 0x8000_0000,
}
