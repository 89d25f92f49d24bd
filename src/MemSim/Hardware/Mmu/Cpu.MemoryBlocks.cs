using System.Runtime.InteropServices;
using MemSim.Hardware;

namespace MemSim;

/// <content>Loads and stores of many bytes: translated once a page.</content>
public sealed partial class Cpu
{
    private const int CacheLine = 64;
    private const int MaxRun = 1 << 21;

    /// <summary>Reads bytes.</summary>
    /// <param name="address">The first address.</param>
    /// <param name="into">Receives them.</param>
    /// <exception cref="PageFaultException">A page cannot be read; what came before it was.</exception>
    public void ReadBytes(VirtualAddress address, Span<byte> into)
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
    public void WriteBytes(VirtualAddress address, ReadOnlySpan<byte> bytes)
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

    /// <summary>Copies bytes; the ranges may overlap (<c>memmove()</c>).</summary>
    /// <param name="to">The first address written.</param>
    /// <param name="from">The first address read.</param>
    /// <param name="bytes">How many.</param>
    /// <exception cref="PageFaultException">A page cannot be read or written; part may be copied.</exception>
    public void Copy(VirtualAddress to, VirtualAddress from, long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        CheckWrap(to.Value, (ulong)bytes);
        CheckWrap(from.Value, (ulong)bytes);
        if (MmuState.IsGated)
        {
            CopyInside(to.Value, from.Value, (ulong)bytes);
            return;
        }

        if (to.Value - from.Value < (ulong)bytes)
        {
            CopyBackwards(to.Value, from.Value, (ulong)bytes);
            return;
        }

        ulong source = from.Value;
        ulong target = to.Value;
        ulong left = (ulong)bytes;
        while (left > 0)
        {
            ReadOnlySpan<byte> read = RunForReading(source, (int)Math.Min(left, MaxRun));
            Span<byte> written = RunForWriting(target, read.Length);
            int part = written.Length;
            read[..part].CopyTo(written);
            source += (uint)part;
            target += (uint)part;
            left -= (uint)part;
        }
    }

    /// <summary>Fills with a byte (<c>memset()</c>).</summary>
    /// <param name="address">The first address.</param>
    /// <param name="bytes">How many.</param>
    /// <param name="value">The byte.</param>
    /// <exception cref="PageFaultException">A page cannot be written; what came before it was.</exception>
    public void Fill(VirtualAddress address, long bytes, byte value)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        ulong at = address.Value;
        CheckWrap(at, (ulong)bytes);
        if (MmuState.IsGated)
        {
            FillInside(at, bytes, value);
            return;
        }

        while (bytes > 0)
        {
            Span<byte> target = RunForWriting(at, (int)Math.Min(bytes, MaxRun));
            int part = target.Length;
            target.Fill(value);
            at += (uint)part;
            bytes -= part;
        }
    }

    /// <summary>Compares bytes (<c>memcmp()</c>).</summary>
    /// <param name="left">The first address of one range.</param>
    /// <param name="right">The first address of the other.</param>
    /// <param name="bytes">How many.</param>
    /// <returns>Negative, 0 or positive, as the first byte that differs is smaller or larger on the left.</returns>
    /// <exception cref="PageFaultException">A page cannot be read.</exception>
    public int Compare(VirtualAddress left, VirtualAddress right, long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        CheckWrap(left.Value, (ulong)bytes);
        CheckWrap(right.Value, (ulong)bytes);
        if (MmuState.IsGated)
        {
            return CompareInside(left.Value, right.Value, bytes);
        }

        ulong a = left.Value;
        ulong b = right.Value;
        while (bytes > 0)
        {
            ReadOnlySpan<byte> first = RunForReading(a, (int)Math.Min(bytes, MaxRun));
            ReadOnlySpan<byte> second = RunForReading(b, first.Length);
            int part = second.Length;
            int order = first[..part].SequenceCompareTo(second);
            if (order != 0)
            {
                return order;
            }

            a += (uint)part;
            b += (uint)part;
            bytes -= part;
        }

        return 0;
    }

    private static void CheckWrap(ulong address, ulong bytes)
    {
        if (bytes > 0 && address + bytes - 1 < address)
        {
            throw new ArgumentOutOfRangeException(nameof(address), $"0x{bytes:x} bytes from {new VirtualAddress(address)} wrap around the address space");
        }
    }

    private void CopyBackwards(ulong to, ulong from, ulong bytes)
    {
        ulong source = from + bytes;
        ulong target = to + bytes;
        while (bytes > 0)
        {
            ulong part = Math.Min(bytes, Math.Min(((source - 1) & PageOffsetMask) + 1, ((target - 1) & PageOffsetMask) + 1));
            source -= part;
            target -= part;
            bytes -= part;
            RunForReading(source, (int)part).CopyTo(RunForWriting(target, (int)part));
        }
    }

    /// <summary>The bytes at an address, up to a limit or the end of its page, whatever its size.</summary>
    private ReadOnlySpan<byte> RunForReading(ulong address, int limit)
    {
        CpuMmu mmu = _mmu ?? StartMmu();
        ulong physical = TranslateRun(mmu, address, ref limit, MemoryAccess.Read);
        return mmu.Memory.ReadOnly(physical, limit);
    }

    private Span<byte> RunForWriting(ulong address, int limit)
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
