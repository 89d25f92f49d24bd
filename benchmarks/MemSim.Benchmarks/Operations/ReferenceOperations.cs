using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using MemSim.Benchmarks.Harness;

namespace MemSim.Benchmarks.Operations;

/// <summary>Points of reference measured in the same run: what the host's own allocators need, and what the CPU needs for the smallest things.</summary>
internal static unsafe class ReferenceOperations
{
    private const int PageBytes = 4096;

    public static IReadOnlyList<Operation> Table { get; } =
    [
        new("Host", "l1_load", _ => L1Load()),
        new("Host", "cas_lock_pair", _ => CasLockPair()),
        new("NativeMemory", "page_pair_o0", _ => new Workload(NativePair)),
        new("ArrayPool", "page_pair_o0", _ => new Workload(PoolPair)),
    ];

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void NativePair(int turns)
    {
        for (int i = 0; i < turns; i++)
        {
            void* memory = NativeMemory.AlignedAlloc(PageBytes, PageBytes);
            NativeMemory.AlignedFree(memory);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void PoolPair(int turns)
    {
        ArrayPool<byte> pool = ArrayPool<byte>.Shared;
        for (int i = 0; i < turns; i++)
        {
            byte[] array = pool.Rent(PageBytes);
            pool.Return(array);
        }
    }

    /// <summary>A pointer that points to itself: each load's address is the value of the load before.</summary>
    private static Workload L1Load()
    {
        nint[] cell = GC.AllocateArray<nint>(1, pinned: true);
        cell[0] = Marshal.UnsafeAddrOfPinnedArrayElement(cell, 0);
        return new Workload(turns => GC.KeepAlive(Follow((nint*)cell[0], turns) == cell[0]), OperationsPerTurn: 8);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static nint Follow(nint* at, int turns)
    {
        for (int i = 0; i < turns; i++)
        {
            at = (nint*)*at;
            at = (nint*)*at;
            at = (nint*)*at;
            at = (nint*)*at;
            at = (nint*)*at;
            at = (nint*)*at;
            at = (nint*)*at;
            at = (nint*)*at;
        }

        return (nint)at;
    }

    private static Workload CasLockPair()
    {
        int[] word = new int[32];
        return new Workload(turns => LockPairs(ref word[16], turns));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void LockPairs(ref int word, int turns)
    {
        for (int i = 0; i < turns; i++)
        {
            if (Interlocked.CompareExchange(ref word, 1, 0) == 0)
            {
                Volatile.Write(ref word, 0);
            }
        }
    }
}
