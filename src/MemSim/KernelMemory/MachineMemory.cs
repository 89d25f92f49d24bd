using MemSim.KernelMemory;

namespace MemSim;

/// <summary>Physical memory as the kernel sees it: the direct map, the memory map, page blocks, fixed and temporary mappings. <see cref="Machine.Memory"/>.</summary>
public sealed class MachineMemory
{
    private readonly Machine _machine;

    internal MachineMemory(Machine machine) => _machine = machine;

    /// <summary>Host memory taken for the contents of simulated RAM, in bytes. No figure of the machine's: a copy from a file leaves out what holds only zeroes.</summary>
    public long ContentBytes => _machine.Ram.TouchedBytes;

    /// <summary>The slots of <see cref="Cpu.Kmap"/>; none on 64 bits, which have no high memory.</summary>
    public IReadOnlyList<KmapSlot> KmapSlots => Kmaps?.List() ?? [];

    /// <summary>What the page frames cost under this memory model, in the real kernel and here.</summary>
    public MemoryMapCost MapCost => MemoryMapCost.Of(_machine.Frames.Model, _machine.Architecture, [.. _machine.ZoneTable.PresentRanges.Select(r => (r.Start, r.End, r.Zone.Node.Id)), .. _machine.ZoneTable.OfflineRanges.Select(r => (r.Start, r.End, r.Node))], _machine.Frames.ReservedBytes);

    /// <summary>Gives the pages in all CPUs' lists back to the free lists (<c>drain_all_pages()</c>).</summary>
    public void DrainAllPages() => _machine.Pages.DrainAllPages();

    /// <summary>How frame numbers lead to page frames.</summary>
    public MemoryModel Model => _machine.Frames.Model;

    /// <summary>log2 of the pages in a page block.</summary>
    public int PageblockOrder => _machine.ZoneTable.PageblockOrder;

    /// <summary>Whether free lists are kept apart by migrate type; off on machines with fewer than five page blocks.</summary>
    public bool MobilityGrouping => _machine.ZoneTable.MobilityGrouping;

    /// <summary>Whether pages and objects are zeroed when they are allocated (<c>init_on_alloc=1</c>).</summary>
    public bool ZeroesOnAlloc => _machine.Hooks.ZeroesOnAlloc;

    /// <summary>Whether pages and objects are zeroed when they are freed (<c>init_on_free=1</c>).</summary>
    public bool ZeroesOnFree => _machine.Hooks.ZeroesOnFree;

    /// <summary>The first address of the direct map of physical memory.</summary>
    public VirtualAddress DirectMapStart => _machine.Addresses.DirectMapStart;

    /// <summary>The address after the last one of the direct map.</summary>
    public VirtualAddress DirectMapEnd => _machine.Addresses.DirectMapEnd;

    /// <summary>The mappings at addresses fixed when the kernel was compiled.</summary>
    public Fixmap Fixmap { get; internal set; } = null!;

    /// <summary>The physical address behind an address of the direct map (<c>__pa()</c>).</summary>
    /// <param name="address">The address.</param>
    /// <exception cref="ArgumentOutOfRangeException">The address is not in the direct map.</exception>
    public PhysicalAddress ToPhysical(VirtualAddress address) => _machine.Addresses.ToPhysical(address);

    /// <summary>The direct-map address of a physical address (<c>__va()</c>).</summary>
    /// <param name="address">The address.</param>
    /// <exception cref="ArgumentOutOfRangeException">The memory there is not permanently mapped.</exception>
    public VirtualAddress ToVirtual(PhysicalAddress address) => _machine.Addresses.ToVirtual(address);

    /// <summary>The window of kmap; null where there is no high memory.</summary>
    internal PersistentKmaps? Kmaps { get; set; }

    /// <summary>vmalloc.</summary>
    /// <exception cref="InvalidOperationException">The machine was booted without contents of RAM.</exception>
    internal VmallocAllocator Vmalloc => _machine.NeedsContents(VmallocOrNull);

    /// <summary>As <see cref="Vmalloc"/>; null on a machine without contents of RAM.</summary>
    internal VmallocAllocator? VmallocOrNull { get; set; }
}

/// <content>Physical memory as the kernel sees it: direct map, memory map, page blocks.</content>
public sealed partial class Machine
{
    /// <summary>Physical memory as the kernel sees it: direct map, memory map, page blocks.</summary>
    public MachineMemory Memory { get; }
}
