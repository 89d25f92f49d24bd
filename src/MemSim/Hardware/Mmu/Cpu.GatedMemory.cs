using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using MemSim.Hardware;

namespace MemSim;

/// <content>Loads and stores on a machine with parallel CPUs: translation and copy of a page happen inside the CPU's gate, faults are handled outside and the access is tried again.</content>
public sealed partial class Cpu
{
    // Other CPUs may take a page away again before the access is tried once more.
    internal const int MaxParallelRetries = 1_000_000;

    // What is copied at once: nobody shall wait at the gate for long.
    internal const int MaxInside = 1 << 16;

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
    internal ulong EnterRun(CpuMmu mmu, ulong address, ref int bytes, MemoryAccess access)
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
        CpuMmu mmu = MmuState;
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
        CpuMmu mmu = MmuState;
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

    internal void ReadInside(ulong at, Span<byte> into)
    {
        CpuMmu mmu = MmuState;
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

    internal void WriteInside(ulong at, ReadOnlySpan<byte> bytes)
    {
        CpuMmu mmu = MmuState;
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
}
