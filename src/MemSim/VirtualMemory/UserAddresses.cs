namespace MemSim.VirtualMemory;

/// <summary>Where the parts of a process lie without address randomisation, by the architecture's rules in 6.1.</summary>
internal sealed class UserAddresses
{
    private const ulong MinGap = 128UL << 20;

    public UserAddresses(ArchitectureInfo architecture, bool fiveLevels)
    {
        IsX86 = architecture.Architecture != Architecture.Arm64;
        (TaskSize, Window, Program) = architecture.Architecture switch
        {
            // Five levels widen the address space only for those who ask by a hint.
            Architecture.X86_64 => (fiveLevels ? 0x00ff_ffff_ffff_f000UL : 0x7fff_ffff_f000UL, 0x7fff_ffff_f000UL, 0x5555_5555_4000UL),
            Architecture.Arm64 => (1UL << PageGeometry.AddressBits, 1UL << PageGeometry.AddressBits, (2UL << PageGeometry.AddressBits) / 3 & PageGeometry.PageMask),
            _ => (architecture.PageOffset, architecture.PageOffset, 0x5655_5000UL),
        };
    }

    /// <summary>The first address that no process may use (<c>TASK_SIZE</c>).</summary>
    public ulong TaskSize { get; }

    /// <summary>The end of what is used without asking (<c>DEFAULT_MAP_WINDOW</c>); the stack ends there.</summary>
    public ulong Window { get; }

    /// <summary>Where a position-independent program is loaded.</summary>
    public ulong Program { get; }

    public bool IsX86 { get; }

    /// <summary>The upper end of the mapping area: below the largest stack and its guard gap (<c>mmap_base()</c>).</summary>
    public ulong MmapBase(ulong stackLimit)
    {
        const ulong pad = MemoryDescriptor.StackGuardPages << PageGeometry.PageShift;
        ulong gap = stackLimit;
        gap = gap + pad > gap ? gap + pad : gap;
        gap = Math.Clamp(gap, MinGap, Window / 6 * 5);
        return (Window - gap + PageGeometry.PageSize - 1) & ~(ulong)(PageGeometry.PageSize - 1);
    }

    /// <summary>Where the search from below starts (<c>TASK_UNMAPPED_BASE</c>).</summary>
    public ulong UnmappedBase => IsX86 ? ((Window / 3) + PageGeometry.PageSize - 1) & ~(ulong)(PageGeometry.PageSize - 1) : (Window / 4) & ~(ulong)(PageGeometry.PageSize - 1);
}
