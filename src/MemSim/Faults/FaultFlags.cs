namespace MemSim.Faults;

/// <summary>What a fault is about (<c>enum fault_flag</c>).</summary>
[Flags]
internal enum FaultFlags
{
    None = 0,
    Write = 1,
    Instruction = 2,
    User = 4,

    /// <summary>A request of the kernel itself (populate), counted as no fault of the process.</summary>
    Remote = 8,

    /// <summary>A page that others have too is replaced by one of its own, but not made writable: it will be pinned for reading (<c>FAULT_FLAG_UNSHARE</c>).</summary>
    Unshare = 16,
}
