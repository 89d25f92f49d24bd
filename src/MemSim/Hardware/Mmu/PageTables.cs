using System.Globalization;

namespace MemSim;

/// <summary>The page tables of an address space: real entries in frames of simulated RAM.</summary>
/// <remarks>
/// Changing them flushes no TLB: call <see cref="Mmu.FlushRange(Cpu, PageTables, VirtualAddress, long)"/> after taking permissions or mappings away, or CPUs go
/// on using what they remember (<see cref="MmuOptions.CheckStaleEntries"/> finds that). Every call that fails leaves the tables as they were.
/// </remarks>
public abstract partial class PageTables
{
    private protected PageTables(Mmu mmu, bool isKernel, int number)
    {
        Mmu = mmu;
        IsKernel = isKernel;
        Number = number;
        IsShared = mmu.Machine.IsParallel;
    }

    /// <summary>The MMU the tables belong to.</summary>
    public Mmu Mmu { get; }

    /// <summary>Whether these are the kernel's own tables (<c>init_mm</c>).</summary>
    public bool IsKernel { get; }

    /// <summary>Distinguishes address spaces of a machine: 0 is the kernel's, never reused.</summary>
    public int Number { get; }

    /// <summary>The physical address of the top-level table: what CR3, TTBR0 or TTBR1 points at.</summary>
    public PhysicalAddress Root { get; private protected set; }

    /// <summary>Frames that hold these tables, the top-level one included. Other spaces' shared kernel tables count only there.</summary>
    public long TablePages { get; private protected set; }

    /// <summary>Number of levels.</summary>
    public abstract int Levels { get; }

    /// <summary>Whether empty tables stay for the next mapping instead of being freed: true for the kernel's, as on Linux.</summary>
    public bool KeepsEmptyTables { get; set; }

    /// <summary>Whether the tables were destroyed.</summary>
    public bool IsDestroyed { get; private protected set; }

    /// <summary>Counts flushes of this address space; a CPU that was lazy compares it when it comes back.</summary>
    internal long FlushGeneration;

    /// <summary>The address space number on architectures that have one for the whole machine (arm64), with its generation in the high bits.</summary>
    internal long HardwareAsid;

    /// <summary>Maps a physically contiguous range, with the largest pages that fit.</summary>
    /// <param name="cpu">The CPU that does it; table frames are allocated there.</param>
    /// <param name="address">The first address, page aligned.</param>
    /// <param name="first">The first frame.</param>
    /// <param name="pages">Number of pages (<see cref="PageGeometry.PageSize"/>).</param>
    /// <param name="protection">What the mapping allows.</param>
    /// <param name="largest">The largest pages to use.</param>
    /// <returns>False when there is no memory for a table; nothing is changed then.</returns>
    /// <exception cref="KernelBugException">Part of the range is mapped already.</exception>
    /// <exception cref="ArgumentException">The range is empty, misaligned, not canonical or not of this address space; or the frames are beyond what entries can hold.</exception>
    public abstract bool Map(Cpu cpu, VirtualAddress address, Pfn first, long pages, PageProtection protection, MappingSize largest = PageGeometry.SmallMapping);

    /// <summary>Maps single frames one after the other with pages of the least size (as <c>vmap()</c> does).</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="address">The first address, page aligned.</param>
    /// <param name="pages">The pages, in order.</param>
    /// <param name="protection">What the mapping allows.</param>
    /// <returns>False when there is no memory for a table; nothing is changed then.</returns>
    /// <exception cref="KernelBugException">Part of the range is mapped already.</exception>
    /// <exception cref="ArgumentException">The range is empty, misaligned, not canonical or not of this address space; or a page is null or of another machine.</exception>
    public abstract bool Map(Cpu cpu, VirtualAddress address, ReadOnlySpan<Page> pages, PageProtection protection);

    /// <summary>Takes mappings away; huge pages that reach over an end are split.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="address">The first address, page aligned.</param>
    /// <param name="pages">Number of pages (<see cref="PageGeometry.PageSize"/>).</param>
    /// <param name="mayHaveHoles">Whether pages of the range that are not mapped are fine; else that is misuse.</param>
    /// <returns>False when there is no memory to split a huge page; nothing is changed then.</returns>
    /// <exception cref="KernelBugException">A page is not mapped.</exception>
    /// <exception cref="ArgumentException">The range is empty, misaligned, not canonical or not of this address space.</exception>
    public abstract bool Unmap(Cpu cpu, VirtualAddress address, long pages, bool mayHaveHoles = false);

    /// <summary>Changes what mappings allow; accessed and dirty bits already set stay. Huge pages that reach over an end are split.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="address">The first address, page aligned.</param>
    /// <param name="pages">Number of pages (<see cref="PageGeometry.PageSize"/>).</param>
    /// <param name="protection">What they shall allow.</param>
    /// <param name="mayHaveHoles">Whether pages of the range that are not mapped are fine.</param>
    /// <returns>False when there is no memory to split a huge page; nothing is changed then.</returns>
    /// <exception cref="KernelBugException">A page is not mapped.</exception>
    /// <exception cref="ArgumentException">The range is empty, misaligned, not canonical or not of this address space.</exception>
    public abstract bool Protect(Cpu cpu, VirtualAddress address, long pages, PageProtection protection, bool mayHaveHoles = false);

    /// <summary>The entry at which a walk for an address ends (<c>lookup_address()</c>): a mapping, or the first entry that is not present.</summary>
    /// <param name="address">The address.</param>
    /// <exception cref="ArgumentException">The address is not canonical or not of this address space.</exception>
    public abstract PageTableEntry Lookup(VirtualAddress address);

    /// <summary>Writes the lowest-level entry of an address as it is: present or not (swap entries, migration entries).</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="address">The address.</param>
    /// <param name="entry">The raw entry; 0 for none.</param>
    /// <returns>False when there is no memory for a table.</returns>
    /// <exception cref="KernelBugException">A huge page covers the address.</exception>
    public abstract bool SetEntry(Cpu cpu, VirtualAddress address, ulong entry);

    /// <summary>Makes the raw lowest-level entry that maps a frame.</summary>
    /// <param name="pfn">The frame.</param>
    /// <param name="protection">What the mapping allows.</param>
    public abstract ulong MakeEntry(Pfn pfn, PageProtection protection);

    /// <summary>All mappings, ascending by address, neighbours of one size and protection with contiguous frames as one.</summary>
    public abstract IEnumerable<PageMapping> Mappings();

    /// <summary>The tables as <c>/sys/kernel/debug/page_tables</c> shows them: ranges of equal protection with their level.</summary>
    /// <param name="markers">Headings by start address, e.g. "vmalloc() Area", ascending; none when null.</param>
    public abstract string Dump(IReadOnlyList<(VirtualAddress Start, string Name)>? markers = null);

    /// <summary>Frees all tables; the mapped pages stay. No CPU may have them loaded.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <exception cref="InvalidOperationException">They are the kernel's, or a CPU has them loaded.</exception>
    public abstract void Destroy(Cpu cpu);

    /// <summary>Frees tables that became empty, now that no CPU can walk through them any more.</summary>
    internal abstract void ReleaseDetached(Cpu cpu);

    /// <summary>Takes over the kernel's top-level entries.</summary>
    internal abstract void CopyKernelEntries(PageTables kernel);

    internal abstract void VisitTables(Action<long> visit);

    /// <summary>Where the lowest-level entry of an address lies in physical memory; its tables are made where there are none. For code that writes such entries often.</summary>
    /// <returns>0 without memory.</returns>
    internal abstract ulong EntryAddress(Cpu cpu, VirtualAddress address);

    /// <summary>The tables as <c>kernel, root 0x…</c>.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{(IsKernel ? "kernel page tables" : $"page tables {Number}")}, root {Root}");
}

/// <summary>An entry of a page table, decoded.</summary>
/// <param name="Level">The level of its table: 1 maps single pages.</param>
/// <param name="LevelName">The kernel's name of that level, e.g. <c>pmd</c>.</param>
/// <param name="Raw">The bits.</param>
/// <param name="IsPresent">Whether it maps a page; otherwise the other values are 0.</param>
/// <param name="Frame">The first frame mapped.</param>
/// <param name="Pages">Pages mapped.</param>
/// <param name="Protection">What the entry allows.</param>
public readonly record struct PageTableEntry(int Level, string LevelName, ulong Raw, bool IsPresent, Pfn Frame, long Pages, PageProtection Protection);

/// <summary>A mapped range.</summary>
/// <param name="Start">Its first address.</param>
/// <param name="First">The first frame.</param>
/// <param name="Pages">Pages.</param>
/// <param name="Size">The size of the pages it is mapped with.</param>
/// <param name="Protection">What it allows.</param>
public readonly record struct PageMapping(VirtualAddress Start, Pfn First, long Pages, MappingSize Size, PageProtection Protection);
