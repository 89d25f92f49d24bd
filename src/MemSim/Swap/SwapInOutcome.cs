namespace MemSim.Swap;

/// <summary>How <see cref="SwapSpace.SwapIn"/> ended.</summary>
internal enum SwapInOutcome
{
    /// <summary>The page was in the swap cache.</summary>
    Found,

    /// <summary>The page was read: a major fault.</summary>
    Read,

    /// <summary>No memory for it.</summary>
    NoMemory,

    /// <summary>The device could not read it (<c>SIGBUS</c>).</summary>
    Failed,

    /// <summary>The page in the swap cache has a hardware error.</summary>
    Poisoned,

    /// <summary>Nothing uses the slot any more, or somebody is busy with its page: look at the entry again.</summary>
    Gone,
}
