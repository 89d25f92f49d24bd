using System.Runtime.CompilerServices;

namespace MemSim.Hardware;

/// <summary>Holds a lock until disposed; no lock at all on a machine whose CPUs are not parallel.</summary>
internal readonly ref struct LockScope
{
    private readonly MachineLock? _held;

    /// <summary>Takes a lock, if there is one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public LockScope(MachineLock? held)
    {
        _held = held;
        held?.Enter();
    }

    /// <summary>Gives it back.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Dispose() => _held?.Exit();
}
