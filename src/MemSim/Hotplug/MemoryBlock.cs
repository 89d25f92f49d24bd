namespace MemSim;

/// <summary>A block of memory that goes offline and comes online as a whole (<c>/sys/devices/system/memory/memoryN</c>), as it was when it was asked for.</summary>
/// <param name="Id">Its number: the physical address divided by <see cref="MemoryHotplug.BlockSize"/>.</param>
/// <param name="Start">Its first frame.</param>
/// <param name="Pages">Frames of its length; a block at the end or with holes of firmware has fewer pages.</param>
/// <param name="Node">The number of the node it is near.</param>
/// <param name="IsOnline">Whether zones have its memory.</param>
/// <param name="ValidZones">The zones it is of or could come online in, as the file <c>valid_zones</c>: <c>Normal</c>, <c>Normal Movable</c>, or <c>none</c> for a block of several zones.</param>
/// <param name="IsPluggedIn">Whether it was added after the boot, and so can be removed.</param>
public readonly record struct MemoryBlock(int Id, Pfn Start, long Pages, int Node, bool IsOnline, string ValidZones, bool IsPluggedIn)
{
    /// <summary>The block as <c>memory38: online, Normal</c>.</summary>
    public override string ToString() => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"memory{Id}: {(IsOnline ? "online" : "offline")}, {ValidZones}");
}

/// <summary>Which zone a block of memory comes online in: what one writes to its file <c>state</c>.</summary>
public enum MemoryOnlineType
{
    /// <summary><c>online</c>: the zone whose span the block lies in, else that of the kernel's memory.</summary>
    Default = 0,

    /// <summary><c>online_kernel</c>: a zone that everybody may use.</summary>
    Kernel = 1,

    /// <summary><c>online_movable</c>: zone Movable, whose pages can be moved, so that the block can go offline again.</summary>
    Movable = 2,
}
