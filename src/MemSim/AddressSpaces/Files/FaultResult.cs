namespace MemSim.AddressSpaces.Files;

/// <summary>What a file did with a page fault, with the bit values of <c>VM_FAULT_*</c>; 0 is a minor fault that was served.</summary>
[Flags]
internal enum FaultResult
{
    /// <summary>The page was in memory.</summary>
    Minor = 0,

    /// <summary>No memory.</summary>
    OutOfMemory = 0x1,

    /// <summary>There is no such page: behind the end of the file, an error of the device, no space (<c>SIGBUS</c>).</summary>
    BusError = 0x2,

    /// <summary>The page had to be read.</summary>
    Major = 0x4,

    /// <summary>The page was truncated meanwhile: fault again.</summary>
    Retry = 0x400,

    /// <summary>The bits that say no page was found.</summary>
    Failed = OutOfMemory | BusError | Retry,
}
