using System.Runtime.CompilerServices;
using MemSim.Diagnostics;

namespace MemSim.Hardware;

/// <content>The gate of a CPU on a machine with parallel CPUs.</content>
/// <remarks>
/// A hardware TLB is flushed between two instructions: whoever sent the interrupt goes on when the other CPU has answered. Here an access (translation and copy, of one page at a
/// time) is inside its CPU's gate, and another CPU that wants it to forget something comes through the same gate: when it is out again, no access with the old entry is in
/// progress and none will begin. Nobody takes a lock, handles a fault or waits for another gate inside a gate, so that nobody waits for long, and never for each other.
/// </remarks>
internal sealed partial class CpuMmu
{
    /// <summary>Whether accesses and flushes meet at a gate: on machines with parallel CPUs.</summary>
    public readonly bool IsGated;

    // Guards the CPU's TLBs, its paging-structure caches and what it translates with.
    private int _inside;
    private int _callers;
    [NotState("a copy's CPUs are the host's to schedule")]
    private readonly IWatchedLock? _watched;

    /// <summary>Called inside the gate, when an address is translated and the bytes are not yet copied (for tests).</summary>
    public Action? InsideAccess;

    /// <summary>Whether another CPU waits for this one to leave the gate.</summary>
    public bool IsAwaited => Volatile.Read(ref _callers) != 0;

    /// <summary>The CPU itself uses or changes its MMU until the scope ends.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public GateScope OwnGate()
    {
        if (IsGated)
        {
            EnterGate();
        }

        return new GateScope(this);
    }

    /// <summary>Another CPU makes this one forget something until the scope ends.</summary>
    public GateScope OthersGate()
    {
        if (_watched is not null)
        {
            _watched.Enter();
        }
        else if (IsGated)
        {
            Interlocked.Increment(ref _callers);
            SpinWait spin = default;
            while (Interlocked.CompareExchange(ref _inside, 1, 0) != 0)
            {
                spin.SpinOnce(sleep1Threshold: -1);
            }

            Interlocked.Decrement(ref _callers);
        }

        return new GateScope(this);
    }

    public void EnterGate()
    {
        // Callers go first: a CPU in a loop would leave the gate open for a few nanoseconds only.
        if (Volatile.Read(ref _callers) != 0 || Interlocked.CompareExchange(ref _inside, 1, 0) != 0)
        {
            WaitToEnter();
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void LeaveGate()
    {
        if (_watched is null)
        {
            Volatile.Write(ref _inside, 0);
        }
        else
        {
            _watched.Exit();
        }
    }

    /// <summary>Translates inside the gate: as <see cref="TryFront(ulong, uint, out ulong, out uint)"/> and <see cref="Translate"/> do.</summary>
    public bool TranslateInside(ulong address, MemoryAccess access, out ulong physical, out uint cycles, out PageFault fault)
    {
        if (access != MemoryAccess.Execute && TryFront(address, 1u << (int)access, _context, out physical, out cycles))
        {
            fault = default;
        }
        else if (!Translate(address, access, out physical, out cycles, out fault))
        {
            return false;
        }

        _cycles += cycles;
        InsideAccess?.Invoke();
        return true;
    }

    /// <summary>Translates without touching the data: what it says may be over when it returns.</summary>
    public bool TranslateGated(ulong address, MemoryAccess access, out ulong physical, out PageFault fault)
    {
        EnterGate();
        bool found = Translate(address, access, out physical, out _, out fault);
        LeaveGate();
        return found;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void WaitToEnter()
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
        while (Volatile.Read(ref _callers) != 0 || Interlocked.CompareExchange(ref _inside, 1, 0) != 0);
    }

    /// <summary>Leaves the gate when disposed, where there is one.</summary>
    public readonly ref struct GateScope(CpuMmu mmu)
    {
        public void Dispose()
        {
            if (mmu.IsGated)
            {
                mmu.LeaveGate();
            }
        }
    }
}
