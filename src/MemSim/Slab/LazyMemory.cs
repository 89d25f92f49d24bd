using System.Runtime.InteropServices;
using MemSim.Hardware;

namespace MemSim.Slab;

/// <summary>A zeroed range of host memory that is only taken when touched: for tables indexed by frame number.</summary>
internal sealed unsafe partial class LazyMemory
{
    private const int ProtReadWrite = 3;
    private const int MapPrivateAnonymousNoReserve = 0x02 | 0x20 | 0x4000;

    private const int AdviseHugePages = 14;
    private const long HugePageLimitBytes = 128L << 20;

    private readonly nuint _bytes;
    private readonly bool _mapped;

    public LazyMemory(long bytes, HostMemory host)
    {
        _bytes = HostMemoryChoice.Checked((bytes + 4095) & ~4095L, "a table of slabs");
        if (host == HostMemory.Mapped)
        {
            void* memory = Map(null, _bytes, ProtReadWrite, MapPrivateAnonymousNoReserve, -1, 0);
            if ((nint)memory != -1)
            {
                Start = memory;
                _mapped = true;
                if (bytes <= HugePageLimitBytes)
                {
                    // Only advice: fewer TLB misses where the host takes it, and bounded waste.
                    _ = Advise(memory, _bytes, AdviseHugePages);
                }

                return;
            }
        }

        Start = NativeMemory.AllocZeroed(_bytes);
    }

    ~LazyMemory()
    {
        if (_mapped)
        {
            _ = Unmap(Start, _bytes);
        }
        else
        {
            NativeMemory.Free(Start);
        }
    }

    public void* Start { get; }

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial void* Map(void* address, nuint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "madvise", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Advise(void* address, nuint length, int advice);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Unmap(void* address, nuint length);
}
