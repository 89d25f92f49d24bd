namespace MemSim.Boot;

/// <summary>What a kernel remembers of each page on request.</summary>
[Flags]
internal enum PageRecords
{
    None = 0,

    /// <summary>Who allocated it.</summary>
    Owners = 1,

    /// <summary>Whether it was used lately.</summary>
    Idleness = 2,
}
