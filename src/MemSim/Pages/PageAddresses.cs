using System.Runtime.CompilerServices;

namespace MemSim.Pages;

/// <summary>Where pages lie in the kernel's address space: the direct map of low memory, and who knows where pages of high memory are mapped. <c>Machine.Addresses</c>.</summary>
internal sealed class PageAddresses(ulong pageOffset, long endPfn, ulong physicalBase)
{
    private readonly ulong _pageOffset = pageOffset;

    /// <summary>The first frame beyond the direct map.</summary>
    public long EndPfn { get; } = endPfn;

    /// <summary>The physical address at which the direct map starts.</summary>
    public ulong PhysicalBase { get; } = physicalBase;

    /// <summary>Whether a frame lies in the direct map.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool IsLowMemory(int pfn) => pfn < EndPfn;

    /// <summary>The first address of the direct map of physical memory.</summary>
    public VirtualAddress DirectMapStart => new(_pageOffset);

    /// <summary>The address after the last one of the direct map.</summary>
    public VirtualAddress DirectMapEnd => new(_pageOffset + ((ulong)EndPfn << PageGeometry.PageShift) - PhysicalBase);

    /// <summary>The physical address behind an address of the direct map (<c>__pa()</c>).</summary>
    /// <param name="address">The address.</param>
    /// <exception cref="ArgumentOutOfRangeException">The address is not in the direct map.</exception>
    public PhysicalAddress ToPhysical(VirtualAddress address) =>
        address.Value >= _pageOffset && address.Value < DirectMapEnd.Value
            ? new PhysicalAddress(address.Value - _pageOffset + PhysicalBase)
            : throw new ArgumentOutOfRangeException(nameof(address), address, $"not in the direct map ({DirectMapStart} to {DirectMapEnd})");

    /// <summary>The direct-map address of a physical address (<c>__va()</c>).</summary>
    /// <param name="address">The address.</param>
    /// <exception cref="ArgumentOutOfRangeException">The memory there is not permanently mapped.</exception>
    public VirtualAddress ToVirtual(PhysicalAddress address)
    {
        ulong end = (ulong)EndPfn << PageGeometry.PageShift;
        return address.Value >= PhysicalBase && address.Value < end
            ? new VirtualAddress(address.Value - PhysicalBase + _pageOffset)
            : throw new ArgumentOutOfRangeException(nameof(address), address, "high memory and addresses beyond RAM have no place in the direct map");
    }

    /// <summary>Where pages of high memory are mapped; null where there is no such memory.</summary>
    public IHighAddresses? HighAddresses { get; set; }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public VirtualAddress AddressOf(int pfn) => pfn < EndPfn ? AddressOfLow(pfn) : AddressOfHigh(pfn);

    /// <summary>The address of a frame that is known to lie in the direct map.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public VirtualAddress AddressOfLow(int pfn) => new(_pageOffset + ((ulong)pfn << PageGeometry.PageShift) - PhysicalBase);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private VirtualAddress AddressOfHigh(int pfn) => HighAddresses?.Find(pfn) ?? default;
}
