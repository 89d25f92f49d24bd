namespace MemSim.Hardware;

/// <summary>How tables indexed by frame number and contents of RAM are taken from the host.</summary>
internal enum HostMemory
{
    /// <summary>Reserved with <c>mmap()</c>, taken when touched.</summary>
    Mapped,

    /// <summary>From a 64-bit host's allocator, which leaves large blocks untouched too.</summary>
    Allocated,

    /// <summary>From an allocator that takes what it hands out, with little address space: a browser, a 32-bit process. Tables as they are, contents in pieces when written.</summary>
    Plain,
}

/// <summary>Which <see cref="HostMemory"/> a host gets.</summary>
internal static class HostMemoryChoice
{
    /// <summary>What fits the host the library runs on.</summary>
    public static HostMemory OfThisHost => !Environment.Is64BitProcess ? HostMemory.Plain : OperatingSystem.IsLinux() ? HostMemory.Mapped : HostMemory.Allocated;

    /// <summary>The size as the host counts it.</summary>
    /// <exception cref="InvalidOperationException">The host cannot have that much.</exception>
    public static nuint Checked(long bytes, string what) => (ulong)bytes <= (ulong)nint.MaxValue
        ? (nuint)bytes
        : throw new InvalidOperationException($"{what} would take {bytes >> 20} MiB, more than this host can address: simulate a machine with less memory here");
}
