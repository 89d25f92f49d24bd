using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace MemSim.Hardware;

/// <summary>The entries of one lowest-level table that a range covers, read one after the other; empty ones are passed over.</summary>
/// <remarks>A value of few fields whose address is never taken, so that a loop keeps it in registers.</remarks>
internal struct TableEntries
{
    private readonly PhysicalMemory _memory;
    private readonly ulong _stop;
    private readonly ulong _bias;
    private readonly ulong _bytes;
    private readonly int _spread;
    private ulong _next;

    /// <summary>Entries of a table.</summary>
    /// <param name="memory">Where it lies.</param>
    /// <param name="slot">The physical address of the first entry, in a table inside memory.</param>
    /// <param name="entries">How many: not beyond the table's end.</param>
    /// <param name="address">The virtual address that the first one translates.</param>
    /// <param name="entryShift">log2 of the bytes of an entry.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TableEntries(PhysicalMemory memory, ulong slot, ulong entries, ulong address, int entryShift)
    {
        System.Diagnostics.Debug.Assert(slot >> PageGeometry.PageShift == (slot + (entries << entryShift) - 1) >> PageGeometry.PageShift, "the entries lie in one table");
        _memory = memory;
        _next = slot;
        _stop = slot + (entries << entryShift);
        _bytes = 1UL << entryShift;
        _spread = PageGeometry.PageShift - entryShift;
        _bias = address - (slot << _spread);
    }

    /// <summary>The physical address of the next entry to be read: of the first one, before any was.</summary>
    public readonly ulong FirstSlot => _next;

    /// <summary>The virtual address that it translates.</summary>
    public readonly ulong FirstAddress => (_next << _spread) + _bias;

    /// <summary>All that are still to be read, as they lie in memory, of eight bytes each.</summary>
    public readonly ReadOnlySpan<ulong> WideEntries()
    {
        System.Diagnostics.Debug.Assert(_bytes == sizeof(ulong), "the format has entries of eight bytes");
        return MemoryMarshal.Cast<byte, ulong>(_memory.ReadOnly(_next, (int)(_stop - _next)));
    }

    /// <summary>The physical address of the entry read last.</summary>
    public readonly ulong Slot => _next - _bytes;

    /// <summary>The virtual address that the entry read last translates.</summary>
    public readonly ulong Address => (Slot << _spread) + _bias;

    /// <summary>The address behind it.</summary>
    public readonly ulong NextAddress => FirstAddress;

    /// <summary>Reads on to the next entry that is not empty.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Next(out ulong entry)
    {
        ulong next = _next;
        while (next != _stop)
        {
            // In range: the table lies in memory as a whole, its entries are aligned.
            entry = _bytes == 8 ? _memory.ReadInside<ulong>(next) : _memory.ReadInside<uint>(next);
            next += _bytes;
            if (entry != 0)
            {
                _next = next;
                return true;
            }
        }

        _next = next;
        entry = 0;
        return false;
    }
}
