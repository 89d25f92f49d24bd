namespace MemSim;

/// <summary>What nobody may do any more to a file in memory (<c>F_SEAL_*</c>); seals are never taken back.</summary>
[Flags]
public enum FileSeals
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>No seal can be added: what a file has that was not made with <see cref="MemfdFlags.AllowSealing"/>.</summary>
    Seal = 1,

    /// <summary>It does not get smaller.</summary>
    Shrink = 2,

    /// <summary>It does not get larger.</summary>
    Grow = 4,

    /// <summary>Nobody writes to it. Refused while somebody could, through a mapping or a pin.</summary>
    Write = 8,

    /// <summary>Nobody writes to it, except through mappings that exist already.</summary>
    FutureWrite = 0x10,

    /// <summary>Whether it can be executed does not change (since 6.3); of an executable file it seals size and contents as well.</summary>
    Exec = 0x20,
}

/// <summary>How <see cref="CpuFiles.MemfdCreate"/> makes a file (<c>MFD_*</c>).</summary>
[Flags]
public enum MemfdFlags
{
    /// <summary>Without seals, executable.</summary>
    None = 0,

    /// <summary>Closed by a new program; without effect here, where processes have no table of descriptors.</summary>
    CloseOnExec = 1,

    /// <summary>Seals can be added.</summary>
    AllowSealing = 2,

    /// <summary>Of huge pages of a pool: refused here, as by a kernel without hugetlbfs.</summary>
    HugeTlb = 4,

    /// <summary>Not executable, sealed so (<see cref="FileSeals.Exec"/>), and open to more seals (since 6.3).</summary>
    NoExecSeal = 8,

    /// <summary>Executable (since 6.3).</summary>
    Exec = 0x10,
}
