using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace MemSim.Hardware;

/// <summary>A lock on cache lines of its own (<c>zone->lock</c>, <c>lru_lock</c>): real on a machine with parallel CPUs, a flag nobody contends for otherwise.</summary>
[StructLayout(LayoutKind.Explicit, Size = 3 * CacheLineBytes)]
internal struct PaddedLock
{
    public const int CacheLineBytes = 64;

    [FieldOffset(CacheLineBytes)]
    private int _held;

    public readonly bool IsHeld => _held != 0;

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
    public bool TryEnter() => Interlocked.CompareExchange(ref _held, 1, 0) == 0;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Exit() => Volatile.Write(ref _held, 0);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Wait()
    {
        SpinWait spin = default;
        do
        {
            spin.SpinOnce(sleep1Threshold: -1);
        }
        while (Volatile.Read(ref _held) != 0 || Interlocked.CompareExchange(ref _held, 1, 0) != 0);
    }
}
