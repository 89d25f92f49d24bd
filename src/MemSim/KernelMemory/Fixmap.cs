using System.Globalization;
using System.Text;

namespace MemSim;

/// <summary>A mapping whose address was fixed when the kernel was compiled.</summary>
/// <param name="Name">Its name in the kernel's enumeration, e.g. <c>FIX_APIC_BASE</c>.</param>
/// <param name="Index">Its first index: indexes grow downwards from the top.</param>
/// <param name="Pages">How many indexes it has.</param>
/// <param name="Address">The address of its first index, the highest page it has.</param>
public readonly record struct FixedMapping(string Name, int Index, int Pages, VirtualAddress Address);

/// <summary>The fixed mappings of a machine's kernel: which index is for what, and at which address (<c>enum fixed_addresses</c>).</summary>
/// <remarks>The indexes are those of Debian's 6.1 kernels. Index n lies n pages below <see cref="Top"/>.</remarks>
public sealed class Fixmap
{
    /// <summary>CPUs for which the 32-bit kernel has short-term mappings (its <c>NR_CPUS</c>).</summary>
    internal const int Cpus32 = 32;

    private const int BootSlotPages = (256 << 10) / PageGeometry.PageSize;

    private readonly Machine _machine;
    private readonly List<FixedMapping> _all = [];
    private int _next;

    internal Fixmap(Machine machine)
    {
        _machine = machine;
        switch (machine.Architecture.Architecture)
        {
            case Architecture.X86_64:
                Top = new VirtualAddress(0xffff_ffff_ff7f_f000);
                _next = 511;
                Add("VSYSCALL_PAGE");
                AddOfPc(ioApics: 128);
                Add("FIX_PARAVIRT_BOOTMAP");
                AddFirmwareErrors("IRQ", "NMI");
                EndPermanent();
                AddOfBoot(slots: 8, align: 512);
                break;
            case Architecture.Arm64:
                Top = new VirtualAddress(KernelAddressSpace.ArmVmemmapStart - (32 << 20));
                Add("FIX_HOLE");
                Add("FIX_FDT", (4 << 20) / PageGeometry.PageSize);
                Add("FIX_EARLYCON_MEM_BASE");
                Add("FIX_TEXT_POKE0");
                AddFirmwareErrors("IRQ", "SEA", "SDEI_NORMAL", "SDEI_CRITICAL");
                Add("FIX_ENTRY_TRAMP_TEXT", 3);
                Add("FIX_ENTRY_TRAMP_DATA");
                EndPermanent();
                AddOfBoot(slots: 7, align: 1);
                Add("FIX_PTE");
                Add("FIX_PMD");
                Add("FIX_PUD");
                Add("FIX_PGD");
                break;
            default:
                Top = new VirtualAddress(0xffff_f000);
                Add("FIX_HOLE");
                AddOfPc(ioApics: 64);
                Local = _next;
                Add("FIX_KMAP", Cpus32 * KernelAddressSpace.LocalSlots);
                Add("FIX_PCIE_MCFG");
                AddFirmwareErrors("IRQ", "NMI");
                EndPermanent();

                // 6.1 leaves a hole here, up to a table of its own for the mappings of the boot: room for the slots of 2.6, which 6.1 does not have.
                Classic = _next;
                Add("FIX_KMAP (2.6)", Cpus32 * KmTypes.Count);
                AddOfBoot(slots: 8, align: 512);
                Add("FIX_WP_TEST");
                break;
        }

        TotalStart = AddressOf(_next);
    }

    /// <summary>The address of index 0 (<c>FIXADDR_TOP</c>).</summary>
    public VirtualAddress Top { get; }

    /// <summary>The lowest address of the permanent mappings (<c>FIXADDR_START</c>).</summary>
    public VirtualAddress Start { get; private set; }

    /// <summary>The lowest address of all, those of the boot included (<c>FIXADDR_TOT_START</c>).</summary>
    public VirtualAddress TotalStart { get; }

    /// <summary>All fixed mappings by index: from the highest address down.</summary>
    public IReadOnlyList<FixedMapping> Mappings => _all;

    /// <summary>The first index of <c>kmap_local_page()</c>'s slots; 0 without high memory.</summary>
    internal int Local { get; }

    /// <summary>The first index of the slots of <c>kmap_atomic(page, type)</c>; 0 without high memory.</summary>
    internal int Classic { get; }

    /// <summary>The address of an index (<c>fix_to_virt()</c>).</summary>
    /// <param name="index">The index.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such index.</exception>
    public VirtualAddress AddressOf(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(index, _next);
        return new VirtualAddress(Top.Value - ((ulong)index << PageGeometry.PageShift));
    }

    /// <summary>The index of an address (<c>virt_to_fix()</c>); -1 where no fixed mapping lies.</summary>
    /// <param name="address">The address.</param>
    public int IndexOf(VirtualAddress address) =>
        address.Value >= TotalStart.Value + PageGeometry.PageSize && address.Value < Top.Value + PageGeometry.PageSize
            ? (int)((Top.Value - (address.Value & ~(ulong)(PageGeometry.PageSize - 1))) >> PageGeometry.PageShift)
            : -1;

    /// <summary>The mapping with a name.</summary>
    /// <param name="name">The kernel's name.</param>
    /// <exception cref="ArgumentException">The architecture has none of that name.</exception>
    public FixedMapping Find(string name)
    {
        foreach (FixedMapping mapping in _all)
        {
            if (mapping.Name == name)
            {
                return mapping;
            }
        }

        throw new ArgumentException($"{_machine.Architecture.Name} has no fixed mapping {name}", nameof(name));
    }

    /// <summary>Maps a physical address at a fixed one (<c>set_fixmap()</c>); a mapping that is there is replaced.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="name">The kernel's name of the mapping.</param>
    /// <param name="physical">The physical address, page aligned: memory, or a device's registers.</param>
    /// <param name="protection">What the mapping allows.</param>
    /// <param name="page">Which page of a mapping of several.</param>
    /// <returns>The address; the null address without memory for a table.</returns>
    /// <exception cref="ArgumentException">There is no such mapping or page, the address is not page aligned or beyond what an entry can hold, or the mapping belongs to <see cref="CpuHighMemory.KmapLocal"/>.</exception>
    public VirtualAddress Set(Cpu cpu, string name, PhysicalAddress physical, PageProtection protection = PageProtection.KernelNoCache, int page = 0)
    {
        VirtualAddress address = Checked(cpu, name, page);
        int bits = _machine.Architecture.Architecture switch { Architecture.X86_64 => 52, Architecture.Arm64 => 48, Architecture.X86_32Pae => 36, _ => 32 };
        if ((physical.Value & (PageGeometry.PageSize - 1)) != 0 || physical.Value >> bits != 0)
        {
            throw new ArgumentOutOfRangeException(nameof(physical), physical, $"a fixed mapping leads to a page-aligned address of at most {bits} bits");
        }

        PageTables kernel = _machine.Mmu.Kernel;
        if (!kernel.SetEntry(cpu, address, kernel.MakeEntry(physical.Pfn, protection)))
        {
            return default;
        }

        _machine.Mmu.FlushPage(cpu, kernel, address);
        return address;
    }

    /// <summary>Takes a fixed mapping away (<c>clear_fixmap()</c>); nothing happens when there is none.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="name">The kernel's name of the mapping.</param>
    /// <param name="page">Which page of a mapping of several.</param>
    /// <exception cref="ArgumentException">There is no such mapping or page, or it belongs to <see cref="CpuHighMemory.KmapLocal"/>.</exception>
    public void Clear(Cpu cpu, string name, int page = 0)
    {
        VirtualAddress address = Checked(cpu, name, page);
        _ = _machine.Mmu.Kernel.Unmap(cpu, address, 1, mayHaveHoles: true);
        _machine.Mmu.FlushPage(cpu, _machine.Mmu.Kernel, address);
    }

    /// <summary>The mappings as a table: index, address, pages, name.</summary>
    public override string ToString()
    {
        StringBuilder text = new();
        foreach (FixedMapping mapping in _all)
        {
            text.Append(CultureInfo.InvariantCulture, $"{mapping.Index,5} {mapping.Address} {mapping.Pages,4} {mapping.Name}\n");
        }

        return text.ToString();
    }

    private VirtualAddress Checked(Cpu cpu, string name, int page)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _machine.ThrowIfDisposed();
        _ = _machine.CpuTable.Own(cpu);
        FixedMapping mapping = Find(name);
        if ((uint)page >= (uint)mapping.Pages)
        {
            throw new ArgumentOutOfRangeException(nameof(page), page, $"{name} has {mapping.Pages} pages");
        }

        return Local != 0 && (mapping.Index == Local || mapping.Index == Classic)
            ? throw new ArgumentException($"{name} belongs to Cpu.KmapLocal and Cpu.KmapAtomic", nameof(name))
            : AddressOf(mapping.Index + page);
    }

    private void Add(string name, int pages = 1)
    {
        _all.Add(new FixedMapping(name, _next, pages, new VirtualAddress(Top.Value - ((ulong)_next << PageGeometry.PageShift))));
        _next += pages;
    }

    private void AddOfPc(int ioApics)
    {
        Add("FIX_DBGP_BASE");
        Add("FIX_EARLYCON_MEM_BASE");
        Add("FIX_APIC_BASE");
        Add("FIX_IO_APIC_BASE", ioApics);
    }

    private void AddFirmwareErrors(params ReadOnlySpan<string> kinds)
    {
        foreach (string kind in kinds)
        {
            Add("FIX_APEI_GHES_" + kind);
        }
    }

    private void EndPermanent() => Start = AddressOf(_next);

    private void AddOfBoot(int slots, int align)
    {
        _next = (_next + align - 1) / align * align;
        Add("FIX_BTMAP", slots * BootSlotPages);
    }
}
