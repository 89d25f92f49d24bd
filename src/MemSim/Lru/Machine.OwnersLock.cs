using System.Runtime.CompilerServices;
using MemSim.Hardware;
using MemSim.Lru;

namespace MemSim;

/// <content>The lock of those who own pages.</content>
public sealed partial class Machine
{
    private readonly Lock _ownersLock = new();

    /// <summary>
    /// On a machine with parallel CPUs one lock guards address spaces, files and what reclaim asks their owners; null elsewhere.
    /// It may be taken again by who holds it, comes before the lock of swap, and nobody waits for a locked page while holding it.
    /// </summary>
    internal Lock? OwnersLock => _parallel ? _ownersLock : null;

    /// <summary>Holds <see cref="OwnersLock"/> until disposed.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal LockScope EnterOwners() => new(OwnersLock, Callouts);

    private IPageOwners Guarded(IPageOwners owners) => _parallel ? new GuardedOwners(this, owners) : owners;
}
