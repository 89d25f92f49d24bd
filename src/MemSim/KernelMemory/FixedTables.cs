namespace MemSim.KernelMemory;

/// <summary>Page tables that are there from the boot on: those of the fixed mappings and of kmap's window. The kernel image has them, or memblock gave them.</summary>
internal static class FixedTables
{
    public static void Prepare(Machine machine)
    {
        ulong table = machine.Architecture.Architecture == Architecture.X86_32 ? 1UL << 22 : PageGeometry.HugeBytes;
        foreach (KernelRegion? region in (KernelRegion?[])[machine.AddressSpace.Fixmap, machine.AddressSpace.PersistentKmap])
        {
            for (ulong at = region?.Start.Value & ~(table - 1) ?? 0; region is { } fixedRegion && at < fixedRegion.End.Value; at += table)
            {
                if (machine.Mmu.Kernel.EntryAddress(machine.Cpus[0], new VirtualAddress(at)) == 0)
                {
                    throw new InvalidOperationException("there is no memory for the page tables of the fixed mappings");
                }
            }
        }
    }
}
