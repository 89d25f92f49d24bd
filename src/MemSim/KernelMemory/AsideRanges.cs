using System.Runtime.InteropServices;

namespace MemSim.KernelMemory;

/// <summary>Ranges of addresses that were freed and that CPUs may still know, until a flush.</summary>
/// <remarks>
/// Kernels before 6.9 merge what touches; later ones keep each range by itself (a tree a node). Nobody searches those but reports of bugs, so they lie in the order they came, which is nearly always that of addresses.
/// </remarks>
internal sealed class AsideRanges
{
    private readonly AddressTree? _merged;
    private readonly List<AddressRange> _apart = [];
    private bool _isSorted = true;

    /// <param name="merges">Whether ranges that touch become one.</param>
    public AsideRanges(bool merges) => _merged = merges ? new AddressTree() : null;

    /// <summary>The first address of all; 0 when there is none.</summary>
    public ulong Lowest { get; private set; }

    /// <summary>The address after the last of all; 0 when there is none.</summary>
    public ulong Highest { get; private set; }

    /// <summary>Adds a range that overlaps none.</summary>
    public void Add(ulong start, ulong end)
    {
        Lowest = Highest == 0 ? start : Math.Min(Lowest, start);
        if (_merged is not null)
        {
            Merge(_merged, start, end);
        }
        else
        {
            _isSorted &= start >= Highest;
            _apart.Add(new AddressRange(start, end));
        }

        Highest = Math.Max(Highest, end);
    }

    /// <summary>Whether a range covers an address.</summary>
    public bool Contains(ulong address) => _merged is not null
        ? _merged.TryFloor(address, out AddressRange range) && address < range.End
        : _apart.Exists(r => r.Start <= address && address < r.End);

    /// <summary>All ranges by address. They may be changed into that order, which nobody sees.</summary>
    public ReadOnlySpan<AddressRange> Ascending()
    {
        if (_merged is not null)
        {
            return CollectionsMarshal.AsSpan(_merged.ToList());
        }

        if (!_isSorted)
        {
            CollectionsMarshal.AsSpan(_apart).Sort(static (a, b) => a.Start.CompareTo(b.Start));
            _isSorted = true;
        }

        return CollectionsMarshal.AsSpan(_apart);
    }

    /// <summary>A list of all ranges by address.</summary>
    public List<AddressRange> ToList() => _merged?.ToList() ?? [.. _apart.OrderBy(static r => r.Start)];

    /// <summary>Forgets everything.</summary>
    public void Clear()
    {
        _merged?.Clear();
        _apart.Clear();
        _isSorted = true;
        Lowest = Highest = 0;
    }

    /// <summary>Adds a range to a tree as one with its neighbours.</summary>
    public static void Merge(AddressTree tree, ulong start, ulong end)
    {
        if (tree.TryCeiling(end, out AddressRange next) && next.Start == end)
        {
            tree.Remove(end);
            end = next.End;
        }

        if (tree.TryFloor(start, out AddressRange before) && before.End == start)
        {
            tree.Resize(before.Start, before.Start, end);
        }
        else
        {
            tree.Insert(start, end);
        }
    }
}
