using System.Runtime.CompilerServices;

namespace MemSim.Hardware;

/// <summary>Holds a lock until disposed; no lock at all on a machine whose CPUs are not parallel.</summary>
internal readonly ref struct LockScope
{
    private readonly Lock? _held;
    private readonly Diagnostics.Callouts? _operation;

    /// <summary>Takes a lock, if there is one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public LockScope(Lock? held)
    {
        _held = held;
        held?.Enter();
    }

    /// <summary>Takes a lock, if there is one, for an operation that must not be left half way.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public LockScope(Lock? held, Diagnostics.Callouts operation)
    {
        _held = held;
        held?.Enter();
        _operation = operation;
        operation.Begin();
    }

    /// <summary>Gives it back; what the user's code threw meanwhile is thrown at the end of the outermost operation.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Dispose()
    {
        _operation?.End();
        _held?.Exit();
        _operation?.ThrowIfIdle();
    }
}
