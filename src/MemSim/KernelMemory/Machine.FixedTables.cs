namespace MemSim;

/// <content>Page tables that are there from the boot on.</content>
public sealed partial class Machine
{
    /// <summary>Makes the tables of the fixed mappings and of kmap's window: the kernel image has them, or memblock gave them.</summary>
    private void PrepareFixedTables(Mmu mmu)
    {
        ulong table = Architecture.Architecture == MemSim.Architecture.X86_32 ? 1UL << 22 : 1UL << 21;
        foreach (KernelRegion? region in (KernelRegion?[])[AddressSpace.Fixmap, AddressSpace.PersistentKmap])
        {
            for (ulong at = region?.Start.Value & ~(table - 1) ?? 0; region is { } fixedRegion && at < fixedRegion.End.Value; at += table)
            {
                if (mmu.Kernel.EntryAddress(_cpus[0], new VirtualAddress(at)) == 0)
                {
                    throw new InvalidOperationException("there is no memory for the page tables of the fixed mappings");
                }
            }
        }
    }
}
