using System.Runtime.InteropServices;
using MemSim.Hardware;

namespace MemSim;

/// <content>Loads and stores of many bytes: translated once a page.</content>
public sealed partial class Cpu
{
    private const int CacheLine = 64;
    internal const int MaxRun = 1 << 21;

    /// <summary>Reads bytes.</summary>
    /// <param name="address">The first address.</param>
    /// <param name="into">Receives them.</param>
    /// <exception cref="PageFaultException">A page cannot be read; what came before it was.</exception>
    internal void ReadBytes(VirtualAddress address, Span<byte> into)
    {
        ulong at = address.Value;
        CheckWrap(at, (ulong)into.Length);
        if (MmuState.IsGated)
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
    internal void WriteBytes(VirtualAddress address, ReadOnlySpan<byte> bytes)
    {
        ulong at = address.Value;
        CheckWrap(at, (ulong)bytes.Length);
        if (MmuState.IsGated)
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

    /// <summary>Reads values that lie one after the other.</summary>
    /// <typeparam name="T">Any type without references.</typeparam>
    /// <param name="address">The first address.</param>
    /// <param name="into">Receives them.</param>
    /// <exception cref="PageFaultException">A page cannot be read.</exception>
    public void Read<T>(VirtualAddress address, Span<T> into)
        where T : unmanaged => ReadBytes(address, MemoryMarshal.AsBytes(into));

    /// <summary>Writes values one after the other.</summary>
    /// <typeparam name="T">Any type without references.</typeparam>
    /// <param name="address">The first address.</param>
    /// <param name="values">The values.</param>
    /// <exception cref="PageFaultException">A page cannot be written.</exception>
    public void Write<T>(VirtualAddress address, ReadOnlySpan<T> values)
        where T : unmanaged => WriteBytes(address, MemoryMarshal.AsBytes(values));

    internal static void CheckWrap(ulong address, ulong bytes)
    {
        if (bytes > 0 && address + bytes - 1 < address)
        {
            throw new ArgumentOutOfRangeException(nameof(address), $"0x{bytes:x} bytes from {new VirtualAddress(address)} wrap around the address space");
        }
    }

    /// <summary>The bytes at an address, up to a limit or the end of its page, whatever its size.</summary>
    internal ReadOnlySpan<byte> RunForReading(ulong address, int limit)
    {
        CpuMmu mmu = _mmu ?? StartMmu();
        ulong physical = TranslateRun(mmu, address, ref limit, MemoryAccess.Read);
        return mmu.Memory.ReadOnly(physical, limit);
    }

    internal Span<byte> RunForWriting(ulong address, int limit)
    {
        CpuMmu mmu = _mmu ?? StartMmu();
        ulong physical = TranslateRun(mmu, address, ref limit, MemoryAccess.Write);
        return mmu.Memory.Range(physical, limit);
    }

    /// <summary>Translates a run of bytes and charges its cache lines.</summary>
    private ulong TranslateRun(CpuMmu mmu, ulong address, ref int bytes, MemoryAccess access)
    {
        if (!mmu.TryFront(address, 1u << (int)access, out ulong physical, out uint cycles))
        {
            physical = Resolve(address, access);
            cycles = mmu.HasDataCache ? 0 : Machine.Mmu.AccessCycles(this, physical);
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
