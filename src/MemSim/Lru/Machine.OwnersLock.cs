using System.Runtime.CompilerServices;
using MemSim.Lru;

namespace MemSim;

/// <content>The lock of those who own pages.</content>
public sealed partial class Machine
{
    /// <summary>Guards address spaces, files and what reclaim asks them.</summary>
    internal OwnersLock OwnersLock { get; }

    /// <summary>Asks or changes the owners of pages until disposed.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal OwnersLock.Scope EnterOwners() => OwnersLock.Enter();
}
