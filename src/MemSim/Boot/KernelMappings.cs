namespace MemSim.Boot;

/// <summary>What a 64-bit kernel maps beside the direct map before anybody runs: its image where it was linked to run, and the memory map (<c>vmemmap_populate()</c>).</summary>
/// <remarks>Only for machines whose boot was simulated: of others nobody knows where image and memory map lie. On arm64 the image lies in vmalloc's range, and stays out of the tables.</remarks>
internal static class KernelMappings
{
    private const ulong ImageBase = 0xffff_ffff_8000_0000;
    private const ulong HugePage = 2 << 20;

    public static void Build(Machine machine)
    {
        if (machine.BootPlan is not { } plan || plan.Spec.MemoryModel != MemoryModel.SparseVmemmap)
        {
            return;
        }

        if (machine.Architecture.Architecture == Architecture.X86_64)
        {
            MapImage(machine, plan);
        }

        foreach (EarlyAllocation map in plan.EarlyAllocations.Where(a => a.What == "memory map"))
        {
            MapMemoryMap(machine, plan, map);
        }
    }

    /// <summary>Code may be executed, constants and code not be written (<c>mark_rodata_ro()</c>), each part from a boundary of 2 MiB on.</summary>
    private static void MapImage(Machine machine, BootPlan plan)
    {
        if (plan.EarlyAllocations.FirstOrDefault(a => a.What == "kernel image") is not { } image)
        {
            return;
        }

        ulong constants = EndOf(plan, "unused kernel image (text/rodata gap)", (ulong)plan.Spec.Kernel.CodeKiB << 10);
        ulong data = EndOf(plan, "unused kernel image (rodata/data gap)", constants + ((ulong)plan.Spec.Kernel.ConstantKiB << 10));
        ulong end = RoundUp(image.Length);
        Map(0, RoundUp(constants), PageProtection.KernelExecute);
        Map(RoundUp(constants), RoundUp(data), PageProtection.KernelReadOnly);
        Map(RoundUp(data), end, PageProtection.Kernel);

        void Map(ulong from, ulong to, PageProtection protection)
        {
            to = Math.Min(to, end);
            if (from < to)
            {
                KernelMappings.Map(machine, ImageBase + image.Start + from, image.Start + from, to - from, protection);
            }
        }
    }

    private static void MapMemoryMap(Machine machine, BootPlan plan, EarlyAllocation map)
    {
        ulong descriptor = (ulong)plan.Spec.Kernel.StructPageBytes;
        ulong physical = map.Start;
        ulong firstPfn = machine.Addresses.PhysicalBase >> PageGeometry.PageShift;
        foreach ((long start, long end) in UnavailableRanges.SectionsOf(plan.Memblock, map.Node))
        {
            ulong bytes = (ulong)(end - start) * descriptor;
            if (physical + bytes > map.Start + map.Length)
            {
                return;
            }

            Map(machine, machine.AddressSpace.Vmemmap!.Value.Start.Value + (((ulong)start - firstPfn) * descriptor), physical, bytes, PageProtection.Kernel);
            physical += bytes;
        }
    }

    private static void Map(Machine machine, ulong address, ulong physical, ulong bytes, PageProtection protection)
    {
        if (!machine.Mmu.Kernel.Map(machine.Cpus[0], new VirtualAddress(address), new PhysicalAddress(physical).Pfn, (long)(bytes >> PageGeometry.PageShift), protection, PageGeometry.HugeMapping))
        {
            throw new InvalidOperationException("there is no memory for the page tables of kernel image and memory map");
        }
    }

    private static ulong EndOf(BootPlan plan, string gap, ulong otherwise) =>
        plan.Spec.Kernel.FreedParts.FirstOrDefault(part => part.What == gap) is { } part ? part.Offset + part.Length : otherwise;

    private static ulong RoundUp(ulong bytes) => (bytes + HugePage - 1) & ~(HugePage - 1);
}
