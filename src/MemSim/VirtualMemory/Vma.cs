using System.Globalization;
using MemSim.Hugetlb;
using MemSim.PageCache;
using MemSim.VirtualMemory;

namespace MemSim;

/// <summary>An area of a process's address space: addresses with one protection and one backing (<c>struct vm_area_struct</c>).</summary>
public sealed partial class Vma
{
    internal Vma(MemoryDescriptor mm, ulong start, ulong end, VmaFlags flags, VirtualAddress memory)
    {
        Memory = memory;
        Mm = mm;
        StartValue = start;
        EndValue = end;
        Flags = flags;
    }

    /// <summary>The first address.</summary>
    public VirtualAddress Start => new(StartValue);

    /// <summary>The address behind the last.</summary>
    public VirtualAddress End => new(EndValue);

    /// <summary>Its length in pages.</summary>
    public long Pages => (long)((EndValue - StartValue) >> PageGeometry.PageShift);

    /// <summary>What it allows and how it behaves.</summary>
    public VmaFlags Flags { get; internal set; }

    /// <summary>Where it begins in its file, or for anonymous memory a linear page number, in pages (<c>vm_pgoff</c>).</summary>
    public long PageOffset => (long)PgOff;

    /// <summary>Whether it is private memory without a file.</summary>
    public bool IsAnonymous => File is null && Hugetlb is null && !MapsFrames;

    /// <summary>The device whose frames it maps (<c>VM_PFNMAP</c>); null for memory and files.</summary>
    public string? Device { get; internal set; }

    /// <summary>Its NUMA policy; null for the task's.</summary>
    public MemoryPolicy? Policy { get; internal set; }

    /// <summary>The address space it belongs to.</summary>
    internal MemoryDescriptor Mm { get; }

    /// <summary>The object of <c>vm_area_struct</c> that it is.</summary>
    internal VirtualAddress Memory { get; }

    internal ulong StartValue { get; set; }

    internal ulong EndValue { get; set; }

    internal ulong PgOff { get; set; }

    /// <summary>What its entries look like before write permission and dirty state are added (<c>vm_page_prot</c>).</summary>
    internal ulong PageBits { get; set; }

    /// <summary>The open file it maps; the area holds a reference to it.</summary>
    public OpenFile? File { get; internal set; }

    internal FileMapping? Mapping => File?.Mapping;

    /// <summary>The unnamed file of huge pages that it maps.</summary>
    internal HugetlbFile? Hugetlb { get; set; }

    /// <summary>What is told of its faults; null for nobody.</summary>
    internal Userfaultfd? Userfaults { get; set; }

    internal AnonVma? AnonVma { get; set; }

    /// <summary>What the last page found in place here has as its mapping: one that an area's pages may have. <see cref="NoMapping"/> when the area's links have changed since.</summary>
    internal uint KnownMapping { get; set; } = NoMapping;

    /// <summary>What no page has as its mapping.</summary>
    internal const uint NoMapping = uint.MaxValue;

    /// <summary>Links to the anonymous-memory objects in which its pages may be.</summary>
    internal List<AnonVmaChain>? Chain { get; set; }

    // The tree.
    internal Vma? Parent;
    internal Vma? Left;
    internal Vma? Right;
    internal Vma? Previous;
    internal Vma? Next;
    internal uint Priority;

    /// <summary>The largest hole directly below an area in this subtree, in bytes.</summary>
    internal ulong LargestGap;

    /// <summary>Whether its entries name frames that nobody counts.</summary>
    internal bool MapsFrames => (Flags & VmaFlags.PfnMap) != 0;

    internal bool IsShared => (Flags & VmaFlags.Shared) != 0;

    /// <summary>Whether private pages of its own arise in it (<c>is_cow_mapping()</c>).</summary>
    internal bool IsCow => (Flags & (VmaFlags.Shared | VmaFlags.MayWrite)) == VmaFlags.MayWrite;

    internal bool Contains(ulong address) => address - StartValue < EndValue - StartValue;

    /// <summary>The linear page index of an address (<c>linear_page_index()</c>).</summary>
    internal uint IndexOf(ulong address) => (uint)(((address - StartValue) >> PageGeometry.PageShift) + PgOff);

    /// <summary>The address of a linear page index, when it lies in the area.</summary>
    internal bool TryAddressOf(uint index, out ulong address)
    {
        // Linear indexes of anonymous memory are kept in 32 bits: 16 TiB of addresses wrap, and so does the difference.
        uint offset = index - (uint)PgOff;
        address = StartValue + ((ulong)offset << PageGeometry.PageShift);
        return offset < (ulong)Pages;
    }

    /// <summary>The area as a line of <c>/proc/pid/maps</c> begins.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"{StartValue:x8}-{EndValue:x8} {((Flags & VmaFlags.Read) != 0 ? 'r' : '-')}{((Flags & VmaFlags.Write) != 0 ? 'w' : '-')}{((Flags & VmaFlags.Exec) != 0 ? 'x' : '-')}{((Flags & VmaFlags.MayShare) != 0 ? 's' : 'p')}");
}
