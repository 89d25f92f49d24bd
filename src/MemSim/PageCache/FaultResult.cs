namespace MemSim.PageCache;

/// <summary>What handling a fault came to (<c>vm_fault_t</c>); 0 is a minor fault that was handled.</summary>
[Flags]
internal enum FaultResult
{
    None = 0,

    /// <summary>No memory.</summary>
    Oom = 1,

    /// <summary>There is no page: beyond the end of the file, or it cannot be read.</summary>
    SigBus = 2,

    /// <summary>Something had to be read.</summary>
    Major = 4,

    /// <summary>The page has a hardware error.</summary>
    HwPoison = 0x10,

    SigSegv = 0x40,

    /// <summary>The entry was set already.</summary>
    NoPage = 0x100,

    /// <summary>The page is being moved or read: try again.</summary>
    Retry = 0x400,

    /// <summary>The huge page could not be had: small ones do.</summary>
    Fallback = 0x800,

    Error = Oom | SigBus | HwPoison | SigSegv,
}
