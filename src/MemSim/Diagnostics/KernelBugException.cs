namespace MemSim;

/// <summary>What kind of misuse a <see cref="KernelBugException"/> reports.</summary>
public enum KernelBugKind
{
    /// <summary>A page was freed that is free already.</summary>
    DoubleFree,

    /// <summary>A block was freed with another order than it was allocated with.</summary>
    WrongOrder,

    /// <summary>A page was freed that is not the first of its block.</summary>
    NotFirstPage,

    /// <summary>A reserved page, or one that was never allocated, was freed.</summary>
    ReservedPage,

    /// <summary>A page was freed that is still mapped, referenced elsewhere or in use by a subsystem.</summary>
    StillInUse,

    /// <summary>A page or address that does not belong to the machine.</summary>
    ForeignAddress,

    /// <summary>Flags that contradict each other or the call.</summary>
    IllegalFlags,

    /// <summary>Something that may sleep was called where nothing may sleep.</summary>
    SleepingInAtomic,

    /// <summary>The allocator was called from a non-maskable interrupt.</summary>
    CalledFromNmi,

    /// <summary>A request that must not fail cannot succeed.</summary>
    Deadlock,

    /// <summary>A page was used that is not allocated.</summary>
    NotAllocated,

    /// <summary>An object was freed through a cache that is not its own.</summary>
    WrongCache,

    /// <summary>An address was freed at which no object starts.</summary>
    InvalidObject,

    /// <summary>Bytes that nobody may write were overwritten: beyond an object, or in a free one.</summary>
    Overwritten,

    /// <summary>The kernel would have panicked.</summary>
    Panic,

    /// <summary>The allocator's own state is inconsistent (found by <see cref="Machine.Verify"/>).</summary>
    Corruption,

    /// <summary>A mapping of high memory was undone that does not exist, in the wrong order or through the wrong call; or there were too many.</summary>
    WrongMapping,

    /// <summary>A kernel stack overflowed.</summary>
    StackOverflow,

    /// <summary>Two host threads drive one machine, or one CPU of a machine with parallel CPUs, at the same time. Whatever the policy, this is thrown; what the other thread was doing may be spoilt.</summary>
    ConcurrentUse,
}

/// <summary>Misuse of the simulated kernel: what a real one would answer with BUG, WARNING or "Bad page state". The machine is unchanged by the refused call.</summary>
public sealed class KernelBugException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="kind">What was misused.</param>
    /// <param name="message">The first line, in the kernel's words where it has some.</param>
    /// <param name="report">The whole report: the page, its owner and history, the context, what to do.</param>
    /// <param name="page">The page concerned, or a null page.</param>
    public KernelBugException(KernelBugKind kind, string message, string report, Page page = default)
        : base(message + Environment.NewLine + report)
    {
        Kind = kind;
        Report = report;
        Page = page;
    }

    /// <summary>The same, with more to say at the end of the report.</summary>
    internal KernelBugException With(string more) => new(Kind, Message[..^(Environment.NewLine.Length + Report.Length)], $"{Report}\n{more}", Page);

    /// <summary>What was misused.</summary>
    public KernelBugKind Kind { get; }

    /// <summary>The report: the page, its owner and history, the context, what to do.</summary>
    public string Report { get; }

    /// <summary>The page concerned; a null page where there is none.</summary>
    public Page Page { get; }
}

/// <summary>What happens when the simulated kernel is misused.</summary>
public enum BugPolicy
{
    /// <summary>A <see cref="KernelBugException"/> is thrown.</summary>
    Throw,

    /// <summary>The report is logged and the call does nothing.</summary>
    Log,
}
