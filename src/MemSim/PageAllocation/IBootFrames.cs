namespace MemSim.PageAllocation;

/// <summary>Frames that the boot takes before the page allocator has any: of the kernel image, or from memblock.</summary>
internal interface IBootFrames
{
    /// <summary>Takes frames for good, full of zeroes, aligned to their number.</summary>
    /// <param name="pages">How many, a power of two.</param>
    /// <returns>The first; -1 when there are none left.</returns>
    long TakeReserved(int pages);
}
