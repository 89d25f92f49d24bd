using System.Runtime.CompilerServices;

namespace MemSim.Benchmarks.Harness;

/// <summary>The random numbers of every pattern: the same ones on every allocator measured beside MemSim.</summary>
internal struct Xorshift64
{
    private ulong _state = 88172645463325252;

    public Xorshift64()
    {
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Next()
    {
        ulong x = _state;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        return _state = x;
    }

    /// <summary>A number below a limit, without a division.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Below(int limit) => (int)(((Next() >> 32) * (ulong)limit) >> 32);
}
