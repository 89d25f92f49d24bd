namespace MemSim.AddressSpaces;

/// <summary>Reverse mapping for reclaim, compaction and migration.</summary>
internal sealed class PageOwners(MmCore core)
{
    public MmCore Core { get; } = core;
}
