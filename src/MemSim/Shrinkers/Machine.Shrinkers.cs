using MemSim.Shrinkers;

namespace MemSim;

/// <content>Caches that give memory back.</content>
public sealed partial class Machine
{
    internal ShrinkerList Shrinkers { get; private set; } = null!;

    /// <summary>As <see cref="MachineReclaim.RegisterShrinker"/>.</summary>
    internal void RegisterShrinker(Shrinker shrinker)
    {
        ArgumentNullException.ThrowIfNull(shrinker);
        ThrowIfDisposed();
        Shrinkers.Add(shrinker);
        EnableReclaim();
    }
}
