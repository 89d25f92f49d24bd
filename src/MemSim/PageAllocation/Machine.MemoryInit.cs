using MemSim.PageAllocation;

namespace MemSim;

/// <content>Zeroing of memory that nobody asked to be zeroed.</content>
public sealed partial class Machine
{
    /// <summary>Who pays for frames; null while nobody but the root cgroup does.</summary>
    internal IFrameCharges? Charges { get; private set; }

    /// <summary>From now on frames are charged.</summary>
    internal void BeginCharging(IFrameCharges charges)
    {
        Charges = charges;
        UpdateModes();
    }

    /// <summary>Whether pages and objects are zeroed when they are allocated (<c>init_on_alloc=1</c>).</summary>
    internal bool ZeroesOnAlloc { get; private set; }

    /// <summary>Whether pages and objects are zeroed when they are freed (<c>init_on_free=1</c>).</summary>
    internal bool ZeroesOnFree { get; private set; }

    /// <summary>Whether what leaves or enters the allocators must be looked at for its contents: their shortest paths stay closed then.</summary>
    internal bool ZeroesMemory => ZeroesOnAlloc || ZeroesOnFree;

    /// <summary>Takes over what the command line says; without contents there is nothing to zero.</summary>
    internal void InitMemory(bool zeroesOnAlloc, bool zeroesOnFree)
    {
        ZeroesOnAlloc = zeroesOnAlloc && Ram.HasContents;
        ZeroesOnFree = zeroesOnFree && Ram.HasContents;
        UpdateModes();
    }
}
