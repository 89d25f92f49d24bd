namespace MemSim;

/// <summary>A part of the kernel's address space.</summary>
/// <param name="Name">What it is for, as the kernel's page-table dump names it.</param>
/// <param name="Start">Its first address.</param>
/// <param name="End">The address after its last one.</param>
public readonly record struct KernelRegion(string Name, VirtualAddress Start, VirtualAddress End)
{
    /// <summary>Its size in bytes.</summary>
    public ulong Bytes => End.Value - Start.Value;

    /// <summary>Whether an address lies in it.</summary>
    /// <param name="address">The address.</param>
    public bool Contains(VirtualAddress address) => address.Value >= Start.Value && address.Value < End.Value;

    /// <summary>The region as <c>name start - end</c>.</summary>
    public override string ToString() => $"{Name} {Start} - {End}";
}

/// <summary>Where the parts of a machine's kernel address space lie, without randomisation.</summary>
public sealed class KernelAddressSpace
{
    /// <summary>Slots of <c>kmap_local_page()</c> for each CPU (<c>KM_MAX_IDX</c>).</summary>
    internal const int LocalSlots = 16;

    private const ulong MiB = 1 << 20;
    private const ulong Gap32 = 8 * MiB;

    /// <summary>Bits of addresses of descriptors, 64 bytes each, of all frames that addresses can name.</summary>
    private const int ArmVmemmapBits = PageGeometry.AddressBits - (PageGeometry.PageShift - 6);

    /// <summary>Where arm64's memory map starts (<c>VMEMMAP_START</c>): the larger the pages, the nearer to the end.</summary>
    internal const ulong ArmVmemmapStart = ~0UL << ArmVmemmapBits;

    /// <summary>Where arm64's vmalloc starts, behind the modules, and where it ends.</summary>
    internal const ulong ArmVmallocStart = PageGeometry.DirectMapLimit + (128 * MiB), ArmVmallocEnd = ArmVmemmapStart - (256 * MiB);

    internal KernelAddressSpace(Machine machine, bool fiveLevels)
    {
        DirectMap = new KernelRegion("Low Kernel Mapping", machine.Addresses.DirectMapStart, machine.Addresses.DirectMapEnd);
        List<KernelRegion> regions = [DirectMap];
        switch (machine.Architecture.Architecture)
        {
            case Architecture.X86_64:
                Vmalloc = fiveLevels ? Region("vmalloc() Area", 0xffa0_0000_0000_0000, 0xffd2_0000_0000_0000) : Region("vmalloc() Area", 0xffff_c900_0000_0000, 0xffff_e900_0000_0000);
                Vmemmap = fiveLevels ? Region("Vmemmap", 0xffd4_0000_0000_0000, 0xffd6_0000_0000_0000) : Region("Vmemmap", 0xffff_ea00_0000_0000, 0xffff_eb00_0000_0000);
                Modules = Region("Modules", 0xffff_ffff_c000_0000, 0xffff_ffff_ff00_0000);
                Fixmap = FixmapRegion("Fixmap Area", machine.Memory.Fixmap);
                regions.AddRange([Vmalloc, Vmemmap.Value, Region("CPU entry Area", 0xffff_fe00_0000_0000, 0xffff_fe80_0000_0000), Region("High Kernel Mapping", 0xffff_ffff_8000_0000, 0xffff_ffff_c000_0000), Modules, Fixmap]);
                break;
            case Architecture.Arm64:
                Modules = Region("Modules", PageGeometry.DirectMapLimit, ArmVmallocStart);
                Vmalloc = Region("vmalloc() area", ArmVmallocStart, ArmVmallocEnd);
                Fixmap = FixmapRegion("Fixmap", machine.Memory.Fixmap);
                Vmemmap = Region("vmemmap", ArmVmemmapStart, ArmVmemmapStart + (1UL << (ArmVmemmapBits - 1)));
                regions.AddRange([Modules, Vmalloc, Fixmap, Region("PCI I/O", ArmVmemmapStart - (24 * MiB), ArmVmemmapStart - (8 * MiB)), Vmemmap.Value]);
                break;
            default:
                bool pae = machine.Architecture.Architecture == Architecture.X86_32Pae;
                ulong pkmap = pae ? 0xff00_0000 : 0xfec0_0000;

                // Two pages below the mappings of high memory stay empty, and 8 MiB above low memory: an access beyond either faults.
                ulong end = pkmap - (2 * PageGeometry.PageSize);
                Vmalloc = Region("vmalloc() Area", Math.Min(end, machine.Addresses.DirectMapEnd.Value + Gap32), end);
                Modules = Vmalloc with { Name = "Modules" };
                PersistentKmap = Region("Persistent kmap() Area", pkmap, pkmap + (pae ? 2 * MiB : 4 * MiB));
                Fixmap = FixmapRegion("Fixmap Area", machine.Memory.Fixmap);

                // CPU_ENTRY_AREA_BASE and LDT_BASE_ADDR: what the 32 CPUs of the kernel need, and a PMD below it.
                ulong ldt = pae ? 0xff20_0000UL : 0xff00_0000;
                regions.AddRange([Vmalloc, PersistentKmap.Value, Region("LDT remap", ldt, 0xff40_0000), Region("CPU entry area", 0xff40_0000, Fixmap.Start.Value), Fixmap]);
                break;
        }

        FixmapStart = machine.Memory.Fixmap.Start;
        Regions = [.. regions.OrderBy(r => r.Start)];
    }

    /// <summary>All regions, ascending.</summary>
    public IReadOnlyList<KernelRegion> Regions { get; }

    /// <summary>The direct map of physical memory (<c>PAGE_OFFSET</c> to <c>high_memory</c>).</summary>
    public KernelRegion DirectMap { get; }

    /// <summary>Where vmalloc maps (<c>VMALLOC_START</c> to <c>VMALLOC_END</c>).</summary>
    public KernelRegion Vmalloc { get; }

    /// <summary>The descriptors of page frames; null where the memory map is flat.</summary>
    public KernelRegion? Vmemmap { get; }

    /// <summary>Where modules are loaded; part of vmalloc's range on 32 bits.</summary>
    public KernelRegion Modules { get; }

    /// <summary>Mappings at addresses fixed when the kernel was compiled.</summary>
    public KernelRegion Fixmap { get; }

    /// <summary>The window of <c>kmap()</c> (<c>PKMAP_BASE</c>); null on 64 bits, which have no high memory.</summary>
    public KernelRegion? PersistentKmap { get; }

    /// <summary>The headings of <c>/sys/kernel/debug/page_tables</c>, for <see cref="PageTables.Dump"/>.</summary>
    public IReadOnlyList<(VirtualAddress Start, string Name)> DumpMarkers
    {
        get
        {
            List<(VirtualAddress Start, string Name)> markers = [];
            bool isArm64 = DirectMap.Start.Value == PageGeometry.KernelHalf;
            if (!isArm64)
            {
                markers.Add((default, "User Space"));
                markers.Add((DirectMap.Start.Value > uint.MaxValue ? new VirtualAddress(DirectMap.Start.Value >= 0xffff_8000_0000_0000 ? 0xffff_8000_0000_0000 : 0xff00_0000_0000_0000) : DirectMap.Start, PersistentKmap is null ? "Kernel Space" : "Kernel Mapping"));
            }

            foreach (KernelRegion region in Regions)
            {
                if (isArm64)
                {
                    string name = region == DirectMap ? "Linear Mapping" : region.Name;
                    bool isVmalloc = region.Start == Vmalloc.Start;
                    markers.Add((region.Start, isVmalloc ? name : name + " start"));
                    markers.Add((region.End, isVmalloc ? "vmalloc() end" : name + " end"));
                }
                else if (PersistentKmap is null || region != DirectMap)
                {
                    markers.Add((region == Fixmap ? FixmapStart : region.Start, region.Name));
                    if (PersistentKmap is not null && region == Vmalloc)
                    {
                        markers.Add((region.End, "vmalloc() End"));
                    }
                    else if (region == Modules)
                    {
                        markers.Add((region.End, "End Modules"));
                    }
                }
            }

            return [.. markers.OrderBy(m => m.Start)];
        }
    }

    /// <summary>The regions as the 32-bit kernels of old printed them at boot: <c>virtual kernel memory layout</c>.</summary>
    public string Layout
    {
        get
        {
            System.Text.StringBuilder text = new("virtual kernel memory layout:\n");
            foreach (KernelRegion region in Regions.Reverse())
            {
                string name = region == Fixmap ? "fixmap" : region == PersistentKmap ? "pkmap" : region == DirectMap ? "lowmem" : region == Vmalloc ? "vmalloc" : region.Name;
                string start = region.Start.Value.ToString(PersistentKmap is null ? "x16" : "x8", System.Globalization.CultureInfo.InvariantCulture);
                string end = region.End.Value.ToString(PersistentKmap is null ? "x16" : "x8", System.Globalization.CultureInfo.InvariantCulture);
                bool inKiB = region.Bytes < 16 * MiB;
                text.Append(System.Globalization.CultureInfo.InvariantCulture, $"    {name,-8}: 0x{start} - 0x{end}   ({(inKiB ? region.Bytes >> 10 : region.Bytes >> 20),4} {(inKiB ? "kB" : "MB")})\n");
            }

            return text.ToString();
        }
    }

    private VirtualAddress FixmapStart { get; }

    private static KernelRegion FixmapRegion(string name, Fixmap fixmap) => new(name, fixmap.TotalStart, fixmap.Top);

    private static KernelRegion Region(string name, ulong start, ulong end) => new(name, new VirtualAddress(start), new VirtualAddress(end));
}
