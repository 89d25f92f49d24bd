namespace MemSim.Tool.Plots;

/// <summary>The machine at a moment of a run, in pages.</summary>
/// <param name="Asked">Memory asked for so far by reading, writing and interrupts.</param>
/// <param name="Free">Free pages of the zone that is watched.</param>
/// <param name="ActiveAnon">On the node's list of active anonymous pages.</param>
/// <param name="InactiveAnon">On the list of inactive anonymous pages.</param>
/// <param name="ActiveFile">On the list of active file pages.</param>
/// <param name="InactiveFile">On the list of inactive file pages.</param>
/// <param name="SwapUsed">Swap slots in use.</param>
internal readonly record struct PressureSample(long Asked, long Free, long ActiveAnon, long InactiveAnon, long ActiveFile, long InactiveFile, long SwapUsed);

/// <summary>What a mark in the picture stands for.</summary>
internal enum PressureMarkKind
{
    KswapdWakes,
    KswapdSleeps,
    DirectReclaim,
    AtomicFails,
}

/// <summary>Something that happened, and how much was free in the zone.</summary>
internal readonly record struct PressureMark(PressureMarkKind Kind, long Asked, long Free);

/// <summary>A part of a run, from where it begins to where the next one does.</summary>
internal readonly record struct PressurePhase(long Asked, string Name);
