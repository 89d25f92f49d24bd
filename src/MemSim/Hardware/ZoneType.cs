namespace MemSim;

/// <summary>The kinds of zones a node's memory is divided into, in the kernel's fallback order from the most to the least precious.</summary>
/// <remarks>
/// Kernel: <c>enum zone_type</c>. An architecture has only some of them (<see cref="ArchitectureInfo.ZoneTypes"/>), and the kernel numbers only those; the numbers
/// here are for all, so that <c>HighMem</c> and <c>DMA32</c> can be told apart whatever the machine.
/// </remarks>
public enum ZoneType
{
    /// <summary>Memory that ISA devices reach: below 16 MiB on x86, the low 1 GiB or 4 GiB on arm64.</summary>
    Dma = 0,

    /// <summary>Memory with 32-bit addresses (64-bit architectures).</summary>
    Dma32 = 1,

    /// <summary>Memory that the kernel maps permanently.</summary>
    Normal = 2,

    /// <summary>Memory beyond the direct map of a 32-bit kernel.</summary>
    HighMem = 3,

    /// <summary>Memory that only movable pages may be put into (<c>kernelcore=</c>, <c>movablecore=</c>, hot-plug).</summary>
    Movable = 4,

    /// <summary>Device memory with page frames that the buddy allocator never hands out.</summary>
    Device = 5,
}

/// <summary>Names of zones as the kernel prints them.</summary>
public static class ZoneTypeNames
{
    /// <summary>The number of zone types.</summary>
    public const int Count = 6;

    /// <summary>The kernel's name of a zone type: <c>DMA</c>, <c>DMA32</c>, <c>Normal</c>, <c>HighMem</c>, <c>Movable</c>, <c>Device</c>.</summary>
    public static string KernelName(this ZoneType type) => type switch
    {
        ZoneType.Dma => "DMA",
        ZoneType.Dma32 => "DMA32",
        ZoneType.Normal => "Normal",
        ZoneType.HighMem => "HighMem",
        ZoneType.Movable => "Movable",
        ZoneType.Device => "Device",
        _ => throw new ArgumentOutOfRangeException(nameof(type)),
    };

    /// <summary>The zone type with a kernel name.</summary>
    /// <param name="name">The name as zoneinfo prints it.</param>
    /// <param name="type">The type, when there is one of that name.</param>
    public static bool TryParse(string name, out ZoneType type)
    {
        for (type = ZoneType.Dma; type <= ZoneType.Device; type++)
        {
            if (type.KernelName() == name)
            {
                return true;
            }
        }

        type = default;
        return false;
    }
}
