using System.Globalization;
using MemSim.Hardware;

namespace MemSim;

/// <summary>Where a page lies in swap: the number of the area and the slot in it (<c>swp_entry_t</c>). The default value is no entry: slot 0 of every area is its header.</summary>
public readonly record struct SwapEntry
{
    internal const int OffsetBits = 26;

    /// <summary>Areas have at most this many slots: 256 GiB of pages of 4 KiB.</summary>
    internal const long MaxSlots = PteLayout.MaxSwapOffset;

    private readonly int _word;

    /// <summary>Creates an entry.</summary>
    /// <param name="type">The area's number, 0 to 31.</param>
    /// <param name="offset">The slot, below 2^26.</param>
    public SwapEntry(int type, long offset)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)type, 31u, nameof(type));
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(offset, MaxSlots);
        _word = (type << OffsetBits) | (int)offset;
    }

    private SwapEntry(int word) => _word = word;

    /// <summary>The area's number (<c>swp_type()</c>).</summary>
    public int Type => _word >>> OffsetBits;

    /// <summary>The slot in the area (<c>swp_offset()</c>).</summary>
    public long Offset => _word & (MaxSlots - 1);

    /// <summary>Whether this is no entry.</summary>
    public bool IsNone => _word == 0;

    /// <summary>The form in which a page of the swap cache holds it (<c>page->private</c>).</summary>
    internal int Word => _word;

    internal static SwapEntry FromWord(int word) => new(word);

    /// <summary>The entry as <c>type:slot</c>.</summary>
    public override string ToString() => IsNone ? "none" : string.Create(CultureInfo.InvariantCulture, $"{Type}:{Offset}");
}
