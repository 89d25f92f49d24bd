using MemSim.Zones;

namespace MemSim.KernelMemory;

/// <summary>Maps all memory below high memory at a fixed distance from its physical address, with the largest pages possible.</summary>
internal static class DirectMap
{
    private const long FirstMiBPages = (1 << 20) / PageGeometry.PageSize;

    public static void Build(Mmu mmu, Cpu cpu, long endPfn, ulong physicalBase)
    {
        Machine machine = mmu.Machine;
        bool isX86 = !mmu.HasTwoRoots;
        MappingSize largest = machine.Architecture.Architecture switch
        {
            Architecture.X86_32 => MappingSize.Page4M,
            Architecture.X86_32Pae => MappingSize.Page2M,
            _ => mmu.Options.GigabytePages ? MappingSize.Page1G : PageGeometry.HugeMapping,
        };

        // The first MiB of a PC is mapped whole, holes of firmware and adapters included, in small pages.
        if (isX86)
        {
            Map(mmu, cpu, 0, Math.Min(FirstMiBPages, endPfn), physicalBase, PageGeometry.SmallMapping);
        }

        long start = 0;
        long end = 0;
        foreach (PresentRange range in machine.ZoneTable.PresentRanges)
        {
            long from = Math.Max(range.Start, isX86 ? FirstMiBPages : 0);
            long to = Math.Min(range.End, endPfn);
            if (from >= to || range.Zone.Type == ZoneType.Device)
            {
                continue;
            }

            if (from != end)
            {
                Map(mmu, cpu, start, end, physicalBase, largest);
                start = from;
            }

            end = to;
        }

        Map(mmu, cpu, start, end, physicalBase, largest);
    }

    private static void Map(Mmu mmu, Cpu cpu, long start, long end, ulong physicalBase, MappingSize largest)
    {
        if (start >= end)
        {
            return;
        }

        ulong address = mmu.Machine.Architecture.PageOffset + ((ulong)start << PageGeometry.PageShift) - physicalBase;
        if (!mmu.Kernel.Map(cpu, new VirtualAddress(address), new Pfn(start), end - start, PageProtection.Kernel, largest))
        {
            throw new InvalidOperationException("there is no memory for the page tables of the direct map");
        }
    }
}
