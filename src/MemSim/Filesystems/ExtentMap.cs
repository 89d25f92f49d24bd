using System.Diagnostics;

namespace MemSim.Filesystems;

/// <summary>Where the pages of a file lie on its device: runs, ascending by the file's page.</summary>
internal sealed class ExtentMap
{
    private readonly List<Extent> _extents = [];
    private int _recent;

    /// <summary>Pages that have a place.</summary>
    public long Pages { get; private set; }

    /// <summary>The device's page of a page of the file; -1 for a hole.</summary>
    public long Find(uint index)
    {
        if (_recent < _extents.Count)
        {
            Extent recent = _extents[_recent];
            if (index - recent.Index < recent.Count && index >= recent.Index)
            {
                return recent.Block + (long)(index - recent.Index);
            }
        }

        int at = LastUpTo(index);
        if (at < 0)
        {
            return -1;
        }

        Extent extent = _extents[at];
        if (index - extent.Index >= extent.Count)
        {
            return -1;
        }

        _recent = at;
        return extent.Block + (long)(index - extent.Index);
    }

    /// <summary>Where a new page had best lie: behind the page before it.</summary>
    public long Goal(uint index)
    {
        int at = LastUpTo(index);
        return at < 0 ? -1 : (long)_extents[at].Block + _extents[at].Count;
    }

    /// <summary>Gives a hole a place; it joins the run before or behind it where that fits.</summary>
    public void Add(uint index, uint block, uint count)
    {
        int at = LastUpTo(index);
        Debug.Assert(count != 0 && (at < 0 || index - _extents[at].Index >= _extents[at].Count) && (at + 1 >= _extents.Count || index + (ulong)count <= _extents[at + 1].Index), "the range is a hole");
        Pages += count;
        if (at >= 0 && _extents[at].Index + _extents[at].Count == index && _extents[at].Block + _extents[at].Count == block)
        {
            Extent longer = _extents[at] with { Count = _extents[at].Count + count };
            _extents[at] = longer;
            if (at + 1 < _extents.Count && _extents[at + 1].Index == longer.Index + longer.Count && _extents[at + 1].Block == longer.Block + longer.Count)
            {
                _extents[at] = longer with { Count = longer.Count + _extents[at + 1].Count };
                _extents.RemoveAt(at + 1);
            }

            return;
        }

        if (at + 1 < _extents.Count && _extents[at + 1].Index == index + count && _extents[at + 1].Block == block + count)
        {
            _extents[at + 1] = new Extent(index, block, _extents[at + 1].Count + count);
            return;
        }

        _extents.Insert(at + 1, new Extent(index, block, count));
    }

    /// <summary>Takes the places of a range of pages away, one run after the other.</summary>
    /// <returns>False when the range has none left.</returns>
    public bool TakeFirst(uint first, uint last, out uint block, out uint count)
    {
        (block, count) = (0, 0);
        int at = LastUpTo(first);
        if (at < 0 || first - _extents[at].Index >= _extents[at].Count)
        {
            at++;
        }

        if (at >= _extents.Count || _extents[at].Index > last)
        {
            return false;
        }

        Extent extent = _extents[at];
        uint from = Math.Max(first, extent.Index);
        uint to = (uint)Math.Min(last, (ulong)extent.Index + extent.Count - 1);
        block = extent.Block + (from - extent.Index);
        count = to - from + 1;
        Pages -= count;
        Debug.Assert(Pages >= 0 && count <= extent.Count, "no more places are taken away than there were");
        _extents.RemoveAt(at);
        uint behind = extent.Index + extent.Count - 1 - to;
        if (behind != 0)
        {
            _extents.Insert(at, new Extent(to + 1, block + count, behind));
        }

        if (from != extent.Index)
        {
            _extents.Insert(at, extent with { Count = from - extent.Index });
        }

        return true;
    }

    private int LastUpTo(uint index)
    {
        int low = 0;
        int high = _extents.Count - 1;
        while (low <= high)
        {
            int middle = (low + high) / 2;
            if (_extents[middle].Index <= index)
            {
                low = middle + 1;
            }
            else
            {
                high = middle - 1;
            }
        }

        return high;
    }

    private readonly record struct Extent(uint Index, uint Block, uint Count);
}
