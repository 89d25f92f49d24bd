using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using MemSim.Diagnostics;

namespace MemSim.Hardware;

/// <summary>A lock on cache lines of its own (<c>zone->lock</c>, <c>lru_lock</c>): real on a machine with parallel CPUs, a flag nobody contends for otherwise.</summary>
[StructLayout(LayoutKind.Explicit, Size = 3 * CacheLineBytes)]
internal struct PaddedLock
{
    public const int CacheLineBytes = 64;

    private const int Watched = 2;

    [FieldOffset(CacheLineBytes)]
    private int _held;

    // Whoever watches finds the word never free: the shortest way in asks nothing more than it did.
    [FieldOffset(CacheLineBytes + 8)]
    [NotState("a copy's CPUs are the host's to schedule")]
    private IWatchedLock? _watched;

    public readonly bool IsHeld => _watched is null ? _held != 0 : _watched.IsHeld;

    /// <summary>From now on another lock stands for this one, if there is one.</summary>
    public void Watch(IWatchedLock? watched)
    {
        _watched = watched;
        _held = watched is null ? 0 : Watched;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Enter()
    {
        if (Interlocked.CompareExchange(ref _held, 1, 0) != 0)
        {
            Wait();
        }
    }

    /// <summary>Takes the lock if nobody has it.</summary>
    /// <returns>Whether it was free.</returns>
    public bool TryEnter() => Interlocked.CompareExchange(ref _held, 1, 0) == 0 || (_watched is not null && _watched.TryEnter());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Exit()
    {
        if (_watched is null)
        {
            Volatile.Write(ref _held, 0);
        }
        else
        {
            _watched.Exit();
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Wait()
    {
        if (_watched is not null)
        {
            _watched.Enter();
            return;
        }

        SpinWait spin = default;
        do
        {
            spin.SpinOnce(sleep1Threshold: -1);
        }
        while (Volatile.Read(ref _held) != 0 || Interlocked.CompareExchange(ref _held, 1, 0) != 0);
    }
}
