namespace MemSim;

/// <summary>Memory that a device and the CPU both use at the same time.</summary>
/// <param name="Device">The device it was allocated for.</param>
/// <param name="First">Its first page.</param>
/// <param name="Bytes">The length asked for.</param>
/// <param name="Area">The contiguous memory area it came from; null for the buddy allocator.</param>
public readonly record struct DmaBuffer(DmaDevice Device, Page First, long Bytes, CmaArea? Area)
{
    /// <summary>Whether the allocation failed.</summary>
    public bool IsNull => First.IsNull;

    /// <summary>The address the device uses.</summary>
    public PhysicalAddress DmaAddress => First.PhysicalAddress;

    /// <summary>The address the CPU uses, in the direct map; null for high memory.</summary>
    public VirtualAddress Address => First.Address;

    /// <summary>Pages it takes.</summary>
    public long Pages => (Bytes + PageGeometry.PageSize - 1) >> PageGeometry.PageShift;

    /// <summary>What it is, where and for whom.</summary>
    public override string ToString() => IsNull ? "null" : $"{Bytes} bytes at {First} for {Device.Name}";
}

/// <content>Memory for devices.</content>
public sealed partial class Cpu
{
}
