namespace MemSim.KernelMemory;

/// <summary>How large vmalloc's areas are.</summary>
internal static class VmallocRules
{
    private const int PointerBytes = 8;

    /// <summary>The area of a mapping's table of pages when that table needs one of its own: more than a page of 8-byte pointers; else 0, kmalloc serves.</summary>
    public static ulong TableAreaBytes(long pages, int pointerBytes = PointerBytes)
    {
        ulong bytes = (ulong)pages * (ulong)pointerBytes;
        return bytes <= PageGeometry.PageSize ? 0 : AreaBytes(bytes);
    }

    /// <summary>Whole pages and the guard page.</summary>
    public static ulong AreaBytes(ulong bytes) => ((bytes + PageGeometry.PageSize - 1) & ~(ulong)(PageGeometry.PageSize - 1)) + PageGeometry.PageSize;
}
