using MemSim.Background;

namespace MemSim.Slab;

/// <summary>The work item that every CPU of a kernel with the classic SLAB does every two seconds (<c>cache_reap()</c>), as a background thread.</summary>
/// <remarks>A simulated machine has no clock: <see cref="SlabAllocator.Tick"/> says that two seconds have passed.</remarks>
internal sealed class SlabReaper(SlabAllocator allocator) : BackgroundTask("kworker/slab", 3, node: null)
{
    public override void Run(Cpu cpu)
    {
        if (allocator.Backend is not ClassicSlab classic)
        {
            return;
        }

        // A host thread may drive no other CPU than its own.
        if (allocator.Machine.IsParallel)
        {
            classic.Reap(cpu);
        }
        else
        {
            allocator.ReapCaches();
        }
    }
}
