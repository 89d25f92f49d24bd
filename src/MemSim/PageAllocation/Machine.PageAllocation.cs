using MemSim.PageAllocation;

namespace MemSim;

/// <content>The page allocator.</content>
public sealed partial class Machine
{
    internal PageAllocator Pages { get; }

    /// <summary>What others hang into it.</summary>
    internal AllocatorHooks Hooks { get; }
}
