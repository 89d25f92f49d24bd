using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace MemSim.Hardware;

/// <summary>
/// A CPU's loads and stores where the shortest way does not do: what misses the TLB's front, faults, crosses pages or is long. On a machine with parallel CPUs translation and copy of
/// a page happen inside the CPU's gate; faults are handled outside, and the access is tried again.
/// </summary>
internal sealed class CpuAccesses(Cpu cpu)
{
    // Other CPUs may take a page away again before the access is tried once more.
    public const int MaxParallelRetries = 1_000_000;
    // What is copied at once: nobody shall wait at the gate for long.
    public const int MaxInside = 1 << 16;
    // A fault handler that says "try again" this often without effect is broken.
    public const int MaxFaultRetries = 16;
    public const ulong PageOffsetMask = PageGeometry.PageSize - 1;
    private const int CacheLine = 64;
    public const int MaxRun = 1 << 21;

    /// <summary>Enters the gate with an address translated; the caller accesses memory and leaves it.</summary>
    private ulong EnterAccess(CpuMmu mmu, ulong address, MemoryAccess access, out uint cycles)
    {
        for (int i = 0; ; i++)
        {
            mmu.EnterGate();
            if (mmu.TranslateInside(address, access, out ulong physical, out cycles, out PageFault fault))
            {
                return physical;
            }

            mmu.LeaveGate();
            RepairOutside(i, fault, address, access);
        }
    }

    /// <summary>Enters the gate with a run of bytes translated and charged, up to a limit or the end of its page.</summary>
    public ulong EnterRun(CpuMmu mmu, ulong address, ref int bytes, MemoryAccess access)
    {
        ulong physical = EnterAccess(mmu, address, access, out uint cycles);
        bytes = Math.Min(bytes, MaxInside);
        return ChargeRun(mmu, address, physical, mmu.HasDataCache ? 0 : cycles, ref bytes);
    }

    /// <summary>Handles a fault between two tries; throws when it cannot be repaired.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private void RepairOutside(int tries, in PageFault fault, ulong address, MemoryAccess access)
    {
        if (tries >= MaxParallelRetries || !TryRepair(fault))
        {
            throw NotRepaired(fault, address, access);
        }

        if (tries >= MaxFaultRetries)
        {
            Thread.Yield();
        }
    }

    private T ReadInside<T>(VirtualAddress address)
        where T : unmanaged
    {
        CpuMmu mmu = cpu.UseMmu();
        if ((address.Value & PageOffsetMask) + (ulong)Unsafe.SizeOf<T>() <= PageGeometry.PageSize)
        {
            ulong physical = EnterAccess(mmu, address.Value, MemoryAccess.Read, out _);
            T found = mmu.Memory.Read<T>(physical);
            mmu.LeaveGate();
            return found;
        }

        T value = default;
        ReadBytes(address, MemoryMarshal.AsBytes(new Span<T>(ref value)));
        return value;
    }

    private void WriteInside<T>(VirtualAddress address, T value)
        where T : unmanaged
    {
        CpuMmu mmu = cpu.UseMmu();
        if ((address.Value & PageOffsetMask) + (ulong)Unsafe.SizeOf<T>() <= PageGeometry.PageSize)
        {
            ulong physical = EnterAccess(mmu, address.Value, MemoryAccess.Write, out _);
            mmu.Memory.Write(physical, value);
            mmu.LeaveGate();
            return;
        }

        // A store across pages happens whole or not at all: all of them are translated, as far as that goes, in one stay inside the gate.
        ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value));
        ulong second = (address.Value | PageOffsetMask) + 1;
        int inFirst = (int)(second - address.Value);
        if (second == 0 || bytes.Length - inFirst > PageGeometry.PageSize)
        {
            for (ulong page = second; page - address.Value < (ulong)bytes.Length; page += PageGeometry.PageSize)
            {
                _ = Resolve(page, MemoryAccess.Write);
            }

            WriteBytes(address, bytes);
            return;
        }

        for (int i = 0; ; i++)
        {
            mmu.EnterGate();
            ulong at = second;
            bool found = mmu.TranslateInside(at, MemoryAccess.Write, out ulong high, out _, out PageFault fault);
            if (found)
            {
                at = address.Value;
                found = mmu.TranslateInside(at, MemoryAccess.Write, out ulong low, out _, out fault);
                if (found)
                {
                    bytes[..inFirst].CopyTo(mmu.Memory.Range(low, inFirst));
                    bytes[inFirst..].CopyTo(mmu.Memory.Range(high, bytes.Length - inFirst));
                }
            }

            mmu.LeaveGate();
            if (found)
            {
                return;
            }

            RepairOutside(i, fault, at, MemoryAccess.Write);
        }
    }

    public void ReadInside(ulong at, Span<byte> into)
    {
        CpuMmu mmu = cpu.UseMmu();
        while (into.Length > 0)
        {
            int part = into.Length;
            ulong physical = EnterRun(mmu, at, ref part, MemoryAccess.Read);
            mmu.Memory.ReadOnly(physical, part).CopyTo(into);
            mmu.LeaveGate();
            into = into[part..];
            at += (uint)part;
        }
    }

    public void WriteInside(ulong at, ReadOnlySpan<byte> bytes)
    {
        CpuMmu mmu = cpu.UseMmu();
        while (bytes.Length > 0)
        {
            int part = bytes.Length;
            ulong physical = EnterRun(mmu, at, ref part, MemoryAccess.Write);
            bytes[..part].CopyTo(mmu.Memory.Range(physical, part));
            mmu.LeaveGate();
            bytes = bytes[part..];
            at += (uint)part;
        }
    }

    /// <summary>Translates for an access; asks the fault handler, throws when it does not help.</summary>
    /// <remarks>On a CPU with a gate what it says may be over when it returns: memory is not accessed by it (see <see cref="EnterAccess"/>).</remarks>
    public ulong Resolve(ulong address, MemoryAccess access)
    {
        CpuMmu mmu = cpu.UseMmu();
        if (mmu.IsGated)
        {
            ulong where = EnterAccess(mmu, address, access, out _);
            mmu.LeaveGate();
            return where;
        }

        return ResolveOpen(mmu, address, access);
    }

    /// <summary>The same on a CPU without a gate.</summary>
    private ulong ResolveOpen(CpuMmu mmu, ulong address, MemoryAccess access)
    {
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
    private bool TryRepair(in PageFault fault) => cpu.Context.PreemptCount == 0 && cpu.Machine.Mmu.FaultHandler is { } handler && handler.Handle(cpu, fault);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private PageFaultException NotRepaired(in PageFault fault, ulong address, MemoryAccess access) => new(fault, cpu.Mmu.Explain(new VirtualAddress(address), access).ToString());

    [MethodImpl(MethodImplOptions.NoInlining)]
    public PhysicalAddress TranslateSlow(VirtualAddress address, MemoryAccess access)
    {
        CpuMmu mmu = cpu.UseMmu();
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
    public T ReadSlow<T>(VirtualAddress address)
        where T : unmanaged
    {
        CpuMmu mmu = cpu.UseMmu();
        if (mmu.IsGated)
        {
            return ReadInside<T>(address);
        }

        if ((address.Value & PageOffsetMask) + (ulong)Unsafe.SizeOf<T>() <= PageGeometry.PageSize)
        {
            return mmu.Memory.Read<T>(ResolveOpen(mmu, address.Value, MemoryAccess.Read));
        }

        T value = default;
        ReadBytes(address, MemoryMarshal.AsBytes(new Span<T>(ref value)));
        return value;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public void WriteSlow<T>(VirtualAddress address, T value)
        where T : unmanaged
    {
        CpuMmu mmu = cpu.UseMmu();
        if (mmu.IsGated)
        {
            WriteInside(address, value);
            return;
        }

        if ((address.Value & PageOffsetMask) + (ulong)Unsafe.SizeOf<T>() <= PageGeometry.PageSize)
        {
            mmu.Memory.Write(ResolveOpen(mmu, address.Value, MemoryAccess.Write), value);
            return;
        }

        WriteAcross(address, value);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void WriteAcross<T>(VirtualAddress address, T value)
        where T : unmanaged
    {
        // A store across pages happens whole or not at all: the later pages fault first.
        ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value));
        for (ulong page = (address.Value | PageOffsetMask) + 1; page - address.Value < (ulong)bytes.Length; page += PageGeometry.PageSize)
        {
            _ = Resolve(page, MemoryAccess.Write);
        }

        WriteBytes(address, bytes);
    }

    /// <summary>Reads bytes.</summary>
    /// <param name="address">The first address.</param>
    /// <param name="into">Receives them.</param>
    /// <exception cref="PageFaultException">A page cannot be read; what came before it was.</exception>
    public void ReadBytes(VirtualAddress address, Span<byte> into)
    {
        ulong at = address.Value;
        CheckWrap(at, (ulong)into.Length);
        if (cpu.UseMmu().IsGated)
        {
            ReadInside(at, into);
            return;
        }

        while (into.Length > 0)
        {
            ReadOnlySpan<byte> source = RunForReading(at, into.Length);
            int part = source.Length;
            PhysicalMemory.Copy(source, into);
            into = into[part..];
            at += (uint)part;
        }
    }

    /// <summary>Writes bytes.</summary>
    /// <param name="address">The first address.</param>
    /// <param name="bytes">The bytes.</param>
    /// <exception cref="PageFaultException">A page cannot be written; what came before it was.</exception>
    public void WriteBytes(VirtualAddress address, ReadOnlySpan<byte> bytes)
    {
        ulong at = address.Value;
        CheckWrap(at, (ulong)bytes.Length);
        if (cpu.UseMmu().IsGated)
        {
            WriteInside(at, bytes);
            return;
        }

        while (bytes.Length > 0)
        {
            Span<byte> target = RunForWriting(at, bytes.Length);
            int part = target.Length;
            PhysicalMemory.Copy(bytes[..part], target);
            bytes = bytes[part..];
            at += (uint)part;
        }
    }

    public static void CheckWrap(ulong address, ulong bytes)
    {
        if (bytes > 0 && address + bytes - 1 < address)
        {
            throw new ArgumentOutOfRangeException(nameof(address), $"0x{bytes:x} bytes from {new VirtualAddress(address)} wrap around the address space");
        }
    }

    /// <summary>The bytes at an address, up to a limit or the end of its page, whatever its size.</summary>
    public ReadOnlySpan<byte> RunForReading(ulong address, int limit)
    {
        CpuMmu mmu = cpu.UseMmu();
        ulong physical = TranslateRun(mmu, address, ref limit, MemoryAccess.Read);
        return mmu.Memory.ReadOnly(physical, limit);
    }

    public Span<byte> RunForWriting(ulong address, int limit)
    {
        CpuMmu mmu = cpu.UseMmu();
        ulong physical = TranslateRun(mmu, address, ref limit, MemoryAccess.Write);
        return mmu.Memory.Range(physical, limit);
    }

    /// <summary>Translates a run of bytes and charges its cache lines.</summary>
    private ulong TranslateRun(CpuMmu mmu, ulong address, ref int bytes, MemoryAccess access)
    {
        if (!mmu.TryFront(address, 1u << (int)access, out ulong physical, out uint cycles))
        {
            physical = Resolve(address, access);
            cycles = mmu.HasDataCache ? 0 : cpu.Machine.Mmu.AccessCycles(cpu, physical);
        }
        else
        {
            mmu.AddCycles(cycles);
        }

        return ChargeRun(mmu, address, physical, cycles, ref bytes);
    }

    /// <summary>Charges the cache lines of a run of bytes behind the first.</summary>
    private static ulong ChargeRun(CpuMmu mmu, ulong address, ulong physical, uint cycles, ref int bytes)
    {
        bytes = mmu.Memory.Together(physical, Math.Min(bytes, mmu.RunLength(address, physical)));
        long moreLines = ((bytes + (long)(address & (CacheLine - 1)) + CacheLine - 1) / CacheLine) - 1;
        if (!mmu.HasDataCache)
        {
            mmu.AddCycles(cycles * moreLines);
            return physical;
        }

        ulong line = physical & ~(ulong)(CacheLine - 1);
        for (long i = 1; i <= moreLines; i++)
        {
            mmu.AddCycles(mmu.CacheAccess(line + ((ulong)i * CacheLine)));
        }

        return physical;
    }
}
