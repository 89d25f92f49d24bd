namespace MemSim;

/// <summary>What a mapping allows and how it behaves, independent of the architecture; the page-table format turns it into the bits of an entry.</summary>
[Flags]
public enum PageProtection
{
    /// <summary>Readable by the kernel, nothing else; neither accessed nor dirty yet.</summary>
    None = 0,

    /// <summary>Writable.</summary>
    Write = 1,

    /// <summary>Executable: by the kernel, or by user code when <see cref="User"/> is set too.</summary>
    Execute = 2,

    /// <summary>Accessible to user code.</summary>
    User = 4,

    /// <summary>The same in every address space: TLB entries survive a switch.</summary>
    Global = 8,

    /// <summary>The accessed bit is set from the start.</summary>
    Accessed = 16,

    /// <summary>The dirty bit is set from the start.</summary>
    Dirty = 32,

    /// <summary>Not cached: device registers.</summary>
    NoCache = 64,

    /// <summary>Written through the cache.</summary>
    WriteThrough = 128,

    /// <summary>Kernel data (<c>PAGE_KERNEL</c>).</summary>
    Kernel = Write | Global | Accessed | Dirty,

    /// <summary>Kernel data that is never written (<c>PAGE_KERNEL_RO</c>).</summary>
    KernelReadOnly = Global | Accessed | Dirty,

    /// <summary>Kernel code (<c>PAGE_KERNEL_ROX</c>).</summary>
    KernelExecute = KernelReadOnly | Execute,

    /// <summary>Device registers (<c>PAGE_KERNEL_NOCACHE</c>).</summary>
    KernelNoCache = Kernel | NoCache,

    /// <summary>User data, writable; accessed and dirty are left to the hardware.</summary>
    UserData = User | Write,

    /// <summary>User data, read-only.</summary>
    UserReadOnly = User,

    /// <summary>User code.</summary>
    UserCode = User | Execute,
}

/// <summary>The size of a mapping; the value is log2 of its bytes.</summary>
public enum MappingSize
{
    /// <summary>4 KiB: an entry of the lowest level, but for arm64 with larger pages.</summary>
    Page4K = 12,

    /// <summary>8 KiB: the lowest level of the textbook's machine.</summary>
    Page8K = 13,

    /// <summary>16 KiB: the lowest level of arm64 with such pages.</summary>
    Page16K = 14,

    /// <summary>64 KiB: the lowest level of arm64 with such pages.</summary>
    Page64K = 16,

    /// <summary>2 MiB.</summary>
    Page2M = 21,

    /// <summary>4 MiB: x86-32 without PAE.</summary>
    Page4M = 22,

    /// <summary>8 MiB: the second level of the textbook's machine.</summary>
    Page8M = 23,

    /// <summary>32 MiB: the second level of arm64 with pages of 16 KiB.</summary>
    Page32M = 25,

    /// <summary>512 MiB: the second level of arm64 with pages of 64 KiB.</summary>
    Page512M = 29,

    /// <summary>1 GiB.</summary>
    Page1G = 30,
}

/// <summary>What an instruction does with an address.</summary>
public enum MemoryAccess
{
    /// <summary>Loads data.</summary>
    Read = 0,

    /// <summary>Stores data.</summary>
    Write = 1,

    /// <summary>Fetches an instruction.</summary>
    Execute = 2,
}
