namespace MemSim.Zones;

/// <summary>What one attempt to allocate may do (the kernel's <c>ALLOC_*</c>): the watermark it respects and the rights it has.</summary>
[Flags]
internal enum AllocFlags : uint
{
    WatermarkMin = 0,
    WatermarkLow = 1,
    WatermarkHigh = 2,
    NoWatermarks = 4,
    WatermarkMask = 3,

    /// <summary>An OOM victim: half of the min watermark.</summary>
    Oom = 0x08,

    /// <summary>The request cannot wait.</summary>
    NonBlock = 0x10,

    /// <summary>The request has high priority.</summary>
    MinReserve = 0x20,

    /// <summary>CMA blocks may be used.</summary>
    Cma = 0x80,

    /// <summary>Rather another zone than a mixed page block.</summary>
    NoFragment = 0x100,

    /// <summary>The high-order atomic reserve may be used and extended.</summary>
    HighAtomic = 0x200,

    /// <summary>kswapd may be woken.</summary>
    Kswapd = 0x800,

    /// <summary>Any right to go below the watermarks: these requests may count pages reserved for high-order atomic requests.</summary>
    Reserves = NonBlock | MinReserve | HighAtomic | Oom,
}
