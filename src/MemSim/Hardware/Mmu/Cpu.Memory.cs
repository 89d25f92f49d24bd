using System.Runtime.CompilerServices;
using MemSim.Hardware;

namespace MemSim;

/// <content>Loads and stores through the MMU.</content>
public sealed partial class Cpu
{
    /// <summary>The MMU's state; null until the first use, and again when the machine is gone.</summary>
    internal CpuMmu? MmuOrNull;

    /// <summary>Accesses that the shortest way does not do.</summary>
    internal CpuAccesses Accesses { get; }

    /// <summary>The CPU's TLBs: statistics and flushes.</summary>
    public Tlb Tlb { get; }

    /// <summary>The simulated clock: cycles spent on memory accesses, translations and flushes since the MMU came into use.</summary>
    public long Cycles => MmuOrNull?.Cycles ?? 0;

    /// <summary>The MMU's state, for an access or whatever else brings it into use: only then flushes reach it, and its clock runs.</summary>
    internal CpuMmu UseMmu() => MmuOrNull ?? StartMmu();

    /// <summary>Reads a value.</summary>
    /// <typeparam name="T">Any type without references; the simulated machine is little-endian like its host.</typeparam>
    /// <param name="address">Where, at any alignment.</param>
    /// <exception cref="PageFaultException">The address cannot be read.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Read<T>(VirtualAddress address)
        where T : unmanaged
    {
        CpuMmu mmu = MmuOrNull ?? StartMmu();
        if ((address.Value & CpuAccesses.PageOffsetMask) + (ulong)Unsafe.SizeOf<T>() <= PageGeometry.PageSize && mmu.TryFront(address.Value, 1, out ulong physical, out uint cycles))
        {
            mmu.AddCycles(cycles);
            return mmu.Memory.Read<T>(physical);
        }

        return Accesses.ReadSlow<T>(address);
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
        CpuMmu mmu = MmuOrNull ?? StartMmu();
        if ((address.Value & CpuAccesses.PageOffsetMask) + (ulong)Unsafe.SizeOf<T>() <= PageGeometry.PageSize && mmu.TryFront(address.Value, 2, out ulong physical, out uint cycles))
        {
            mmu.AddCycles(cycles);
            mmu.Memory.Write(physical, value);
            return;
        }

        Accesses.WriteSlow(address, value);
    }

    /// <summary>Translates an address as an access would, TLB and all, without touching the data.</summary>
    /// <param name="address">The address.</param>
    /// <param name="access">The access.</param>
    /// <returns>The physical address.</returns>
    /// <exception cref="PageFaultException">The access would fault; no handler is asked.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public PhysicalAddress Translate(VirtualAddress address, MemoryAccess access = MemoryAccess.Read)
    {
        CpuMmu mmu = MmuOrNull ?? StartMmu();
        return access != MemoryAccess.Execute && mmu.TryFront(address.Value, 1u << (int)access, out ulong physical, out _)
            ? new PhysicalAddress(physical)
            : Accesses.TranslateSlow(address, access);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private CpuMmu StartMmu()
    {
        Machine.ThrowIfDisposed();
        return MmuOrNull ??= new CpuMmu(Machine.Mmu, this);
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
