namespace MemSim;

/// <summary>A translation that a TLB holds.</summary>
/// <param name="Level">Which TLB: <c>L1 data</c>, <c>L1 instruction</c>, <c>L2</c>.</param>
/// <param name="Slot">Its place in that TLB.</param>
/// <param name="Address">The first address it translates.</param>
/// <param name="Physical">Where that is in memory.</param>
/// <param name="Size">How much it translates.</param>
/// <param name="IsGlobal">Whether it holds in every address space: the kernel's.</param>
public readonly record struct TlbEntryInfo(string Level, int Slot, VirtualAddress Address, PhysicalAddress Physical, ByteSize Size, bool IsGlobal);
