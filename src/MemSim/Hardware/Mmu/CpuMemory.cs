using MemSim.Hardware;

namespace MemSim;

/// <summary>Whole ranges of virtual memory, copied, filled and compared through the MMU. <see cref="Cpu.Memory"/>.</summary>
public sealed class CpuMemory
{
    private readonly Cpu _cpu;

    internal CpuMemory(Cpu cpu) => _cpu = cpu;

    private void FillInside(ulong at, long bytes, byte value)
    {
        CpuMmu mmu = _cpu.UseMmu();
        while (bytes > 0)
        {
            int part = (int)Math.Min(bytes, CpuAccesses.MaxInside);
            ulong physical = _cpu.Accesses.EnterRun(mmu, at, ref part, MemoryAccess.Write);
            mmu.Memory.Range(physical, part).Fill(value);
            mmu.LeaveGate();
            at += (uint)part;
            bytes -= part;
        }
    }

    /// <summary>Copies by way of a buffer: source and target need not be in memory at the same time.</summary>
    private void CopyInside(ulong to, ulong from, ulong bytes)
    {
        Span<byte> buffer = stackalloc byte[PageGeometry.PageSize];
        bool backwards = to - from < bytes;
        ulong done = 0;
        while (done < bytes)
        {
            int part = (int)Math.Min(bytes - done, PageGeometry.PageSize);
            ulong offset = backwards ? bytes - done - (uint)part : done;
            _cpu.Accesses.ReadInside(from + offset, buffer[..part]);
            _cpu.Accesses.WriteInside(to + offset, buffer[..part]);
            done += (uint)part;
        }
    }

    private int CompareInside(ulong left, ulong right, long bytes)
    {
        Span<byte> first = stackalloc byte[PageGeometry.PageSize];
        Span<byte> second = stackalloc byte[PageGeometry.PageSize];
        for (long done = 0; done < bytes;)
        {
            int part = (int)Math.Min(bytes - done, PageGeometry.PageSize);
            _cpu.Accesses.ReadInside(left + (ulong)done, first[..part]);
            _cpu.Accesses.ReadInside(right + (ulong)done, second[..part]);
            int order = first[..part].SequenceCompareTo(second[..part]);
            if (order != 0)
            {
                return order;
            }

            done += part;
        }

        return 0;
    }

    /// <summary>Copies bytes; the ranges may overlap (<c>memmove()</c>).</summary>
    /// <param name="to">The first address written.</param>
    /// <param name="from">The first address read.</param>
    /// <param name="bytes">How many.</param>
    /// <exception cref="PageFaultException">A page cannot be read or written; part may be copied.</exception>
    public void Copy(VirtualAddress to, VirtualAddress from, long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        CpuAccesses.CheckWrap(to.Value, (ulong)bytes);
        CpuAccesses.CheckWrap(from.Value, (ulong)bytes);
        if (_cpu.UseMmu().IsGated)
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
            ReadOnlySpan<byte> read = _cpu.Accesses.RunForReading(source, (int)Math.Min(left, CpuAccesses.MaxRun));
            Span<byte> written = _cpu.Accesses.RunForWriting(target, read.Length);
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
        CpuAccesses.CheckWrap(at, (ulong)bytes);
        if (_cpu.UseMmu().IsGated)
        {
            FillInside(at, bytes, value);
            return;
        }

        while (bytes > 0)
        {
            Span<byte> target = _cpu.Accesses.RunForWriting(at, (int)Math.Min(bytes, CpuAccesses.MaxRun));
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
        CpuAccesses.CheckWrap(left.Value, (ulong)bytes);
        CpuAccesses.CheckWrap(right.Value, (ulong)bytes);
        if (_cpu.UseMmu().IsGated)
        {
            return CompareInside(left.Value, right.Value, bytes);
        }

        ulong a = left.Value;
        ulong b = right.Value;
        while (bytes > 0)
        {
            ReadOnlySpan<byte> first = _cpu.Accesses.RunForReading(a, (int)Math.Min(bytes, CpuAccesses.MaxRun));
            ReadOnlySpan<byte> second = _cpu.Accesses.RunForReading(b, first.Length);
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

    private void CopyBackwards(ulong to, ulong from, ulong bytes)
    {
        ulong source = from + bytes;
        ulong target = to + bytes;
        while (bytes > 0)
        {
            ulong part = Math.Min(bytes, Math.Min(((source - 1) & CpuAccesses.PageOffsetMask) + 1, ((target - 1) & CpuAccesses.PageOffsetMask) + 1));
            source -= part;
            target -= part;
            bytes -= part;
            _cpu.Accesses.RunForReading(source, (int)part).CopyTo(_cpu.Accesses.RunForWriting(target, (int)part));
        }
    }
}

/// <content>Ranges of virtual memory: memcpy, memset, memcmp.</content>
public sealed partial class Cpu
{
    /// <summary>Ranges of virtual memory: memcpy, memset, memcmp.</summary>
    public CpuMemory Memory { get; internal set; } = null!;
}
