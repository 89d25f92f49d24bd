using MemSim.Pages;

namespace MemSim;

/// <content>Page frames.</content>
public sealed partial class Machine
{
    /// <summary>The page frames.</summary>
    internal FrameTable Frames { get; }

    /// <summary>Where pages lie in the kernel's address space.</summary>
    internal PageAddresses Addresses { get; }
}
