using MemSim.Zones;

namespace MemSim.Hotplug;

/// <summary>The addresses at which memory can be plugged in, and what was plugged in there: each block with the memory that its memory map takes.</summary>
internal sealed class MemoryWindow(Machine machine)
{
    /// <summary>log2 of the pages that the memory map of a section takes, with descriptors of 64 bytes; with pages of 4 KiB a huge page.</summary>
    private const int MapOrder = PageGeometry.SectionShift - PageGeometry.PageShift + 6 - PageGeometry.PageShift;

    private readonly Dictionary<int, List<(int Pfn, int Order)>> _maps = [];

    /// <summary>Whether a block was plugged in.</summary>
    public bool Has(int block) => _maps.ContainsKey(block);

    /// <summary>The lowest free place for so many pages; -1 when there is none.</summary>
    public long FindRoom(long pages, long blockPages, long from, long to)
    {
        for (long start = (from + blockPages - 1) / blockPages * blockPages; start + pages <= to; start += blockPages)
        {
            bool free = true;
            for (long pfn = start; free && pfn < start + pages; pfn += MemoryMapCost.PagesPerSection)
            {
                free = !machine.ZoneTable.HasMemoryAt(pfn);
            }

            if (free)
            {
                return start;
            }
        }

        return -1;
    }

    /// <summary>Makes memory of a range: its memory map and its place in the direct map come from the page allocator (<c>arch_add_memory()</c>).</summary>
    /// <returns>False when there is no memory for them; nothing has changed then.</returns>
    public bool TryAdd(Cpu cpu, int block, long start, long pages, Node node)
    {
        List<(int Pfn, int Order)> map = [];
        if (!TryMapFrames(cpu, pages, node, map) || !TryMapDirectly(cpu, start, pages))
        {
            Free(cpu, map);
            return false;
        }

        _maps[block] = map;
        machine.ZoneTable.MakeOffline(new OfflineRange(start, start + pages, node.Id));
        return true;
    }

    /// <summary>The memory is gone (<c>arch_remove_memory()</c>).</summary>
    public void Remove(Cpu cpu, int block, long start, long pages)
    {
        machine.ZoneTable.CutOffline(start, start + pages);
        if (machine.Ram.HasContents)
        {
            _ = machine.Mmu.Kernel.Unmap(cpu, machine.Addresses.AddressOf((int)start), pages, mayHaveHoles: true);
            machine.Mmu.ForgetRam(start, start + pages);
        }

        Free(cpu, _maps[block]);
        _ = _maps.Remove(block);
    }

    /// <summary>With pages of 4 KiB one huge page a section where there is one, else small ones (<c>vmemmap_populate()</c>).</summary>
    private bool TryMapFrames(Cpu cpu, long pages, Node node, List<(int Pfn, int Order)> map)
    {
        const Gfp Flags = Gfp.Kernel | Gfp.RetryMayFail | Gfp.NoWarn;
        for (long section = 0; section < pages; section += MemoryMapCost.PagesPerSection)
        {
            int huge = PageGeometry.Is4K ? machine.Pages.AllocateChecked(cpu, Flags, MapOrder, node) : -1;
            if (huge >= 0)
            {
                map.Add((huge, MapOrder));
                continue;
            }

            for (int i = 0; i < 1 << MapOrder; i++)
            {
                int page = machine.Pages.AllocateChecked(cpu, Flags, 0, node);
                if (page < 0)
                {
                    return false;
                }

                map.Add((page, 0));
            }
        }

        return true;
    }

    private bool TryMapDirectly(Cpu cpu, long start, long pages)
    {
        if (!machine.Ram.HasContents)
        {
            return true;
        }

        PageTables kernel = machine.Mmu.Kernel;
        VirtualAddress address = machine.Addresses.AddressOf((int)start);
        if (kernel.Map(cpu, address, new Pfn(start), pages, PageProtection.Kernel, PageGeometry.HugeMapping))
        {
            return true;
        }

        _ = kernel.Unmap(cpu, address, pages, mayHaveHoles: true);
        return false;
    }

    private void Free(Cpu cpu, List<(int Pfn, int Order)> map)
    {
        foreach ((int pfn, int order) in map)
        {
            machine.Pages.FreeBlock(cpu, pfn, order);
        }
    }
}
