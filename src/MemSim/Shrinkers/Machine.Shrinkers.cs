using MemSim.Shrinkers;

namespace MemSim;

/// <content>Caches that give memory back.</content>
public sealed partial class Machine
{
    internal ShrinkerList Shrinkers { get; private set; } = null!;
}
