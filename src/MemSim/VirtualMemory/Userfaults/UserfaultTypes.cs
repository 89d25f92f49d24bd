namespace MemSim;

/// <summary>What a <see cref="Userfaultfd"/> is told of a range (<c>UFFDIO_REGISTER_MODE_*</c>).</summary>
[Flags]
public enum UserfaultModes
{
    /// <summary>Nothing: refused.</summary>
    None = 0,

    /// <summary>Accesses where no page is, in page table and file.</summary>
    Missing = 1,

    /// <summary>Writes to pages that <see cref="Userfaultfd.WriteProtect"/> protected (x86-64).</summary>
    Protected = 2,

    /// <summary>Accesses to pages of shared memory that are in the file but not mapped (64 bits).</summary>
    Minor = 4,
}

/// <summary>How a <see cref="Userfaultfd"/> was opened (<c>UFFD_FEATURE_*</c> and the flag of <c>userfaultfd()</c>).</summary>
[Flags]
public enum UserfaultFeatures
{
    /// <summary>As usual: faults are told to <see cref="Userfaultfd.Handler"/>.</summary>
    None = 0,

    /// <summary>Forks are told, and a child's areas are registered with a descriptor of its own (<c>UFFD_FEATURE_EVENT_FORK</c>); an administrator must ask.</summary>
    TellsForks = 1 << 1,

    /// <summary>Moves by <c>mremap()</c> are told, and what was moved stays registered (<c>UFFD_FEATURE_EVENT_REMAP</c>).</summary>
    TellsMoves = 1 << 2,

    /// <summary>Pages that <c>madvise()</c> gives up are told before they go (<c>UFFD_FEATURE_EVENT_REMOVE</c>).</summary>
    TellsRemoves = 1 << 3,

    /// <summary>Ranges that were unmapped are told (<c>UFFD_FEATURE_EVENT_UNMAP</c>).</summary>
    TellsUnmaps = 1 << 6,

    /// <summary>Faults get SIGBUS, nobody is told (<c>UFFD_FEATURE_SIGBUS</c>).</summary>
    SigBus = 1 << 7,

    /// <summary>Protecting works on anonymous memory that has no page yet (<c>UFFD_FEATURE_WP_UNPOPULATED</c>, since 6.4).</summary>
    ProtectsUnpopulated = 1 << 13,

    /// <summary>Writes to protected pages are not told: the kernel gives the right back by itself, and the page map shows which pages nobody wrote to
    /// (<c>UFFD_FEATURE_WP_ASYNC</c>, since 6.7). Brings <see cref="ProtectsUnpopulated"/>; files of disks can be protected, too.</summary>
    ProtectsSilently = 1 << 15,

    /// <summary>Only faults of programs: those of the kernel get SIGBUS or EFAULT (<c>UFFD_USER_MODE_ONLY</c>). Without it an administrator must open it.</summary>
    UserModeOnly = 1 << 30,
}

/// <summary>What <see cref="Userfaultfd.Register"/> says can be done with a range: bit numbers are those of the ioctls.</summary>
[Flags]
public enum UserfaultCalls
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary><c>UFFDIO_WAKE</c>, which nobody needs here.</summary>
    Wake = 1 << 2,

    /// <summary><see cref="Userfaultfd.Copy(VirtualAddress, ReadOnlySpan{byte}, bool)"/>.</summary>
    Copy = 1 << 3,

    /// <summary><see cref="Userfaultfd.ZeroPage"/>.</summary>
    ZeroPage = 1 << 4,

    /// <summary><see cref="Userfaultfd.Move"/> (since 6.8).</summary>
    Move = 1 << 5,

    /// <summary><see cref="Userfaultfd.WriteProtect"/>.</summary>
    WriteProtect = 1 << 6,

    /// <summary><see cref="Userfaultfd.Continue"/>.</summary>
    Continue = 1 << 7,

    /// <summary><see cref="Userfaultfd.Poison"/> (since 6.6).</summary>
    Poison = 1 << 8,
}

/// <summary>A fault that waits for somebody to serve it (<c>struct uffd_msg</c>, <c>UFFD_EVENT_PAGEFAULT</c>).</summary>
/// <param name="Task">Whose access it is.</param>
/// <param name="Address">The first address of the page.</param>
/// <param name="Kind">What it waits for: one mode.</param>
/// <param name="IsWrite">Whether it is a write.</param>
public readonly record struct Userfault(KernelTask Task, VirtualAddress Address, UserfaultModes Kind, bool IsWrite);

/// <summary>What a <see cref="UserfaultEvent"/> is about: the kernel's numbers.</summary>
public enum UserfaultEventKind
{
    /// <summary>A child was made (<c>UFFD_EVENT_FORK</c>).</summary>
    Fork = 0x13,

    /// <summary>Pages were moved (<c>UFFD_EVENT_REMAP</c>).</summary>
    Remap = 0x14,

    /// <summary>Pages are about to be given up (<c>UFFD_EVENT_REMOVE</c>).</summary>
    Remove = 0x15,

    /// <summary>A range was unmapped (<c>UFFD_EVENT_UNMAP</c>).</summary>
    Unmap = 0x16,
}

/// <summary>What happened to memory registered with a <see cref="Userfaultfd"/> (<c>struct uffd_msg</c>).</summary>
/// <param name="Kind">What.</param>
/// <param name="Start">The first address; where the pages were, of a move. Of an unmapping the whole range of the call, registered or not.</param>
/// <param name="Length">Bytes.</param>
/// <param name="To">Where the pages are, of a move.</param>
/// <param name="Child">The child's descriptor, of a fork.</param>
public readonly record struct UserfaultEvent(UserfaultEventKind Kind, VirtualAddress Start, long Length, VirtualAddress To = default, Userfaultfd? Child = null)
{
    /// <summary>The end of the range, excluded.</summary>
    public VirtualAddress End => Start + Length;
}

/// <summary>What a call on a range of a <see cref="Userfaultfd"/> came to.</summary>
/// <param name="Error">Why it stopped: EAGAIN when some of it was done before.</param>
/// <param name="Bytes">The bytes that were done, or the negative error of the first page; 0 when the arguments were refused.</param>
public readonly record struct UserfaultResult(Errno Error, long Bytes)
{
    /// <summary>Whether all of the range was done.</summary>
    public bool Succeeded => Error == Errno.None;
}
