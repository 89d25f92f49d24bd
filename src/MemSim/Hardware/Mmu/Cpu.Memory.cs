using System.Runtime.CompilerServices;
using MemSim.Hardware;

namespace MemSim;

/// <content>Loads and stores through the MMU.</content>
public sealed partial class Cpu
{
    // A fault handler that says "try again" this often without effect is broken.
    internal const int MaxFaultRetries = 16;
    internal const ulong PageOffsetMask = PageGeometry.PageSize - 1;

    private CpuMmu? _mmu;
    private Tlb? _tlb;

    /// <summary>The CPU's TLBs: statistics and flushes.</summary>
    public Tlb Tlb => _tlb ??= new Tlb(this);

    /// <summary>The simulated clock: cycles spent on memory accesses, translations and flushes since the MMU came into use.</summary>
    public long Cycles => _mmu?.Cycles ?? 0;

    internal CpuMmu? MmuOrNull => _mmu;

    /// <summary>Closes the ways to memory: from now on every access starts the MMU, which says that the machine is gone.</summary>
    internal void DetachMmu() => _mmu = null;

    internal CpuMmu MmuState => _mmu ?? StartMmu();

    /// <summary>Reads a value.</summary>
    /// <typeparam name="T">Any type without references; the simulated machine is little-endian like its host.</typeparam>
    /// <param name="address">Where, at any alignment.</param>
    /// <exception cref="PageFaultException">The address cannot be read.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Read<T>(VirtualAddress address)
        where T : unmanaged
    {
        CpuMmu mmu = _mmu ?? StartMmu();
        if ((address.Value & PageOffsetMask) + (ulong)Unsafe.SizeOf<T>() <= PageGeometry.PageSize && mmu.TryFront(address.Value, 1, out ulong physical, out uint cycles))
        {
            mmu.AddCycles(cycles);
            return mmu.Memory.Read<T>(physical);
        }

        return ReadSlow<T>(address);
    }

    /// <summary>Writes a value.</summary>
    /// <typeparam name="T">Any type without references.</typeparam>
    /// <param name="address">Where, at any alignment.</param>
    /// <param name="value">The value.</param>
    /// <exception cref="PageFaultException">The address cannot be written; nothing was.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Write<T>(VirtualAddress address, T value)
        where T : unmanaged
    {
        CpuMmu mmu = _mmu ?? StartMmu();
        if ((address.Value & PageOffsetMask) + (ulong)Unsafe.SizeOf<T>() <= PageGeometry.PageSize && mmu.TryFront(address.Value, 2, out ulong physical, out uint cycles))
        {
            mmu.AddCycles(cycles);
            mmu.Memory.Write(physical, value);
            return;
        }

        WriteSlow(address, value);
    }

    /// <summary>Translates an address as an access would, TLB and all, without touching the data.</summary>
    /// <param name="address">The address.</param>
    /// <param name="access">The access.</param>
    /// <returns>The physical address.</returns>
    /// <exception cref="PageFaultException">The access would fault; no handler is asked.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public PhysicalAddress Translate(VirtualAddress address, MemoryAccess access = MemoryAccess.Read)
    {
        CpuMmu mmu = _mmu ?? StartMmu();
        return access != MemoryAccess.Execute && mmu.TryFront(address.Value, 1u << (int)access, out ulong physical, out _)
            ? new PhysicalAddress(physical)
            : TranslateSlow(address, access);
    }

    /// <summary>Translates for an access; asks the fault handler, throws when it does not help.</summary>
    /// <remarks>On a CPU with a gate what it says may be over when it returns: memory is not accessed by it (see <see cref="EnterAccess"/>).</remarks>
    internal ulong Resolve(ulong address, MemoryAccess access)
    {
        CpuMmu mmu = MmuState;
        if (mmu.IsGated)
        {
            ulong where = EnterAccess(mmu, address, access, out _);
            mmu.LeaveGate();
            return where;
        }

        PageFault fault = default;
        for (int i = 0; i < MaxFaultRetries; i++)
        {
            if (mmu.Translate(address, access, out ulong physical, out uint cycles, out fault))
            {
                mmu.AddCycles(cycles);
                return physical;
            }

            if (!TryRepair(fault))
            {
                break;
            }
        }

        throw NotRepaired(fault, address, access);
    }

    /// <summary>What the processor's page-fault exception leads to.</summary>
    /// <returns>Whether the access is to be tried again.</returns>
    private bool TryRepair(in PageFault fault) => _preemptCount == 0 && Machine.Mmu.FaultHandler is { } handler && handler.Handle(this, fault);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private PageFaultException NotRepaired(in PageFault fault, ulong address, MemoryAccess access) => new(fault, Mmu.Explain(new VirtualAddress(address), access).ToString());

    [MethodImpl(MethodImplOptions.NoInlining)]
    private PhysicalAddress TranslateSlow(VirtualAddress address, MemoryAccess access)
    {
        CpuMmu mmu = MmuState;
        return !mmu.IsGated && mmu.TryPlainWalk(address.Value, 1u << (int)access, out ulong physical) ? new PhysicalAddress(physical) : TranslateFully(mmu, address, access);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private PhysicalAddress TranslateFully(CpuMmu mmu, VirtualAddress address, MemoryAccess access)
    {
        ulong physical;
        PageFault fault;
        bool found = mmu.IsGated ? mmu.TranslateGated(address.Value, access, out physical, out fault) : mmu.Translate(address.Value, access, out physical, out _, out fault);
        return found ? new PhysicalAddress(physical) : throw NotRepaired(fault, address.Value, access);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private T ReadSlow<T>(VirtualAddress address)
        where T : unmanaged
    {
        if (MmuState.IsGated)
        {
            return ReadInside<T>(address);
        }

        if ((address.Value & PageOffsetMask) + (ulong)Unsafe.SizeOf<T>() <= PageGeometry.PageSize)
        {
            return MmuState.Memory.Read<T>(Resolve(address.Value, MemoryAccess.Read));
        }

        T value = default;
        ReadBytes(address, System.Runtime.InteropServices.MemoryMarshal.AsBytes(new Span<T>(ref value)));
        return value;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void WriteSlow<T>(VirtualAddress address, T value)
        where T : unmanaged
    {
        if (MmuState.IsGated)
        {
            WriteInside(address, value);
            return;
        }

        if ((address.Value & PageOffsetMask) + (ulong)Unsafe.SizeOf<T>() <= PageGeometry.PageSize)
        {
            MmuState.Memory.Write(Resolve(address.Value, MemoryAccess.Write), value);
            return;
        }

        WriteAcross(address, value);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void WriteAcross<T>(VirtualAddress address, T value)
        where T : unmanaged
    {
        // A store across pages happens whole or not at all: the later pages fault first.
        ReadOnlySpan<byte> bytes = System.Runtime.InteropServices.MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value));
        for (ulong page = (address.Value | PageOffsetMask) + 1; page - address.Value < (ulong)bytes.Length; page += PageGeometry.PageSize)
        {
            _ = Resolve(page, MemoryAccess.Write);
        }

        WriteBytes(address, bytes);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private CpuMmu StartMmu()
    {
        Machine.ThrowIfDisposed();
        return _mmu ??= new CpuMmu(Machine.Mmu, this);
    }
}

/// <summary>A mode of memory access entered on a CPU; disposing it leaves the mode.</summary>
public readonly struct MmuScope : IDisposable
{
    private readonly CpuMmu? _mmu;
    private readonly Kind _kind;
    private readonly bool _previous;

    internal MmuScope(CpuMmu mmu, Kind kind, bool previous)
    {
        _mmu = mmu;
        _kind = kind;
        _previous = previous;
    }

    internal enum Kind
    {
        UserMode,
        UserAccess,
    }

    /// <summary>Leaves the mode.</summary>
    public void Dispose()
    {
        if (_kind == Kind.UserMode)
        {
            _mmu?.SetUserMode(_previous);
        }
        else
        {
            _mmu?.SetUserAccess(_previous);
        }
    }
}
