namespace MemSim;

/// <summary>GFP flags with the bit values of Linux 2.6.32, as textbooks and reports of that time show them.</summary>
/// <remarks>The simulator works with <see cref="Gfp"/>; <see cref="GfpEra.ToModern"/> translates.</remarks>
[Flags]
public enum LegacyGfp : uint
{
    /// <summary>No flag; also <c>GFP_NOWAIT</c> of that time.</summary>
    None = 0,

    /// <summary><c>__GFP_DMA</c>.</summary>
    Dma = 0x01,

    /// <summary><c>__GFP_HIGHMEM</c>.</summary>
    HighMem = 0x02,

    /// <summary><c>__GFP_DMA32</c>.</summary>
    Dma32 = 0x04,

    /// <summary><c>__GFP_MOVABLE</c>.</summary>
    Movable = 0x08,

    /// <summary><c>__GFP_WAIT</c>: can wait and reschedule.</summary>
    Wait = 0x10,

    /// <summary><c>__GFP_HIGH</c>: may use emergency pools; also <c>GFP_ATOMIC</c> of that time.</summary>
    High = 0x20,

    /// <summary><c>__GFP_IO</c>.</summary>
    Io = 0x40,

    /// <summary><c>__GFP_FS</c>.</summary>
    Fs = 0x80,

    /// <summary><c>__GFP_COLD</c>: a page that is not in the processor cache is preferred.</summary>
    Cold = 0x100,

    /// <summary><c>__GFP_NOWARN</c>.</summary>
    NoWarn = 0x200,

    /// <summary><c>__GFP_REPEAT</c>: try hard, may fail.</summary>
    Repeat = 0x400,

    /// <summary><c>__GFP_NOFAIL</c>.</summary>
    NoFail = 0x800,

    /// <summary><c>__GFP_NORETRY</c>.</summary>
    NoRetry = 0x1000,

    /// <summary><c>__GFP_COMP</c>.</summary>
    Comp = 0x4000,

    /// <summary><c>__GFP_ZERO</c>.</summary>
    Zero = 0x8000,

    /// <summary><c>__GFP_NOMEMALLOC</c>.</summary>
    NoMemAlloc = 0x10000,

    /// <summary><c>__GFP_HARDWALL</c>.</summary>
    HardWall = 0x20000,

    /// <summary><c>__GFP_THISNODE</c>.</summary>
    ThisNode = 0x40000,

    /// <summary><c>__GFP_RECLAIMABLE</c>.</summary>
    Reclaimable = 0x80000,

    /// <summary><c>__GFP_NOTRACK</c>: not watched by kmemcheck (0 in kernels built without it).</summary>
    NoTrack = 0x200000,

    /// <summary><c>GFP_ATOMIC</c>: cannot wait, may use emergency pools.</summary>
    Atomic = High,

    /// <summary><c>GFP_NOWAIT</c>: cannot wait; no flag at all in that time.</summary>
    NoWait = None,

    /// <summary><c>GFP_NOIO</c>.</summary>
    NoIo = Wait,

    /// <summary><c>GFP_NOFS</c>.</summary>
    NoFs = Wait | Io,

    /// <summary><c>GFP_KERNEL</c>.</summary>
    Kernel = Wait | Io | Fs,

    /// <summary><c>GFP_TEMPORARY</c>: short-lived kernel memory, grouped with reclaimable slabs.</summary>
    Temporary = Wait | Io | Fs | Reclaimable,

    /// <summary><c>GFP_USER</c>.</summary>
    User = Wait | Io | Fs | HardWall,

    /// <summary><c>GFP_HIGHUSER</c>.</summary>
    HighUser = User | HighMem,

    /// <summary><c>GFP_HIGHUSER_MOVABLE</c>.</summary>
    HighUserMovable = HighUser | Movable,

    /// <summary><c>GFP_IOFS</c>: I/O and file system calls without waiting (a few releases from 2.6.37 on).</summary>
    IoFs = Io | Fs,

    /// <summary><c>GFP_THISNODE</c>: this node or at once none, quietly.</summary>
    ThisNodeOnly = ThisNode | NoWarn | NoRetry,
}
