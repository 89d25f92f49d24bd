using MemSim.Filesystems;
using MemSim.PageCache;

namespace MemSim;

/// <content>Files, devices and the page cache.</content>
public sealed partial class Machine
{
    /// <summary>The page cache.</summary>
    internal FileCache PageCache { get; set; } = null!;

    /// <summary>Where shared anonymous memory lives: the kernel's own tmpfs, without a limit.</summary>
    internal TmpFileSystem SharedMemory { get; set; } = null!;

    /// <summary>Block devices as files.</summary>
    internal DeviceFileSystem DeviceFiles { get; set; } = null!;

    /// <summary>Swap space for shared memory; null for none.</summary>
    internal IShmemSwap? ShmemSwap { get; set; }

    /// <summary>Frees what no shrinker knows for <c>drop_caches</c>; null for nothing to free.</summary>
    internal Action<Cpu>? SlabDropper { get; set; }
}
