namespace MemSim.PageAllocation;

/// <summary>Who pays for frames, as the page allocator has to know it: memory of the kernel is charged when it is handed out (<c>__GFP_ACCOUNT</c>), and whatever is freed is charged no more.</summary>
internal interface IFrameCharges
{
    /// <summary>Charges a block to the cgroup of the task that runs.</summary>
    /// <returns>False when its limit does not allow it.</returns>
    bool TryChargeKernel(Cpu cpu, int pfn, Gfp gfp);

    /// <summary>The block is about to be freed.</summary>
    void Uncharge(Cpu cpu, int pfn);

    /// <summary>A block becomes several.</summary>
    void Split(int head, int parts, int pagesEach);

    /// <summary>Who pays for a frame, by number; 0 for nobody but the root.</summary>
    int IdOf(int pfn);
}
