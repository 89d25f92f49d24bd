using System.Diagnostics;

namespace MemSim.KernelMemory;

/// <summary>Address ranges in order that never overlap, each with a number of the user's; knows the longest range below every node, so that the lowest fit is found in one descent.</summary>
/// <remarks>A treap in an array: no objects, and the same calls build the same tree.</remarks>
internal sealed class AddressTree
{
    private Node[] _nodes = new Node[16];
    private int _root;
    private int _used = 1;
    private int _spare;
    private uint _random = 0x9e37_79b9;

    /// <summary>Ranges in the tree.</summary>
    public int Count { get; private set; }

    /// <summary>Adds a range that overlaps none.</summary>
    public void Insert(ulong start, ulong end, int value = 0)
    {
        Debug.Assert(start < end && (!TryFloor(end - 1, out AddressRange last) || last.End <= start), "a range that overlaps none");
        int node = NewNode(start, end, value);
        ulong length = end - start;
        uint priority = _nodes[node].Priority;

        // Down past all that have a higher priority; what is below that point is split around the new node.
        ref int link = ref _root;
        while (link != 0)
        {
            ref Node above = ref _nodes[link];
            bool isLeft = start <= above.Start;
            if (isLeft ? above.Priority < priority : above.Priority <= priority)
            {
                break;
            }

            above.Longest = Math.Max(above.Longest, length);
            link = ref isLeft ? ref above.Left : ref above.Right;
        }

        if (link != 0)
        {
            Split(link, start, out int left, out int right);
            _nodes[node].Left = left;
            _nodes[node].Right = right;
            Update(node);
        }

        link = node;
        Count++;
    }

    /// <summary>Takes out the range that begins at an address and says which it was.</summary>
    public bool TryTake(ulong start, out AddressRange range)
    {
        if (TryFloor(start, out range) && range.Start == start)
        {
            return Remove(start);
        }

        range = default;
        return false;
    }

    /// <summary>Takes out the range that begins at an address.</summary>
    public bool Remove(ulong start)
    {
        if (!Remove(ref _root, start))
        {
            return false;
        }

        Count--;
        return true;
    }

    /// <summary>Changes the bounds of the range that begins at an address; order must stay.</summary>
    public void Resize(ulong oldStart, ulong start, ulong end)
    {
        Debug.Assert(start < end && TryFloor(oldStart, out AddressRange range) && range.Start == oldStart, "a range that is there");
        Resize(_root, oldStart, start, end);
        Debug.Assert((!TryFloor(start - 1, out AddressRange before) || before.End <= start) && (!TryCeiling(end, out AddressRange next) || next.Start >= end), "it overlaps none");
    }

    /// <summary>The last range that begins at or below an address.</summary>
    public bool TryFloor(ulong address, out AddressRange range)
    {
        int found = 0;
        for (int at = _root; at != 0;)
        {
            ref Node node = ref _nodes[at];
            if (node.Start <= address)
            {
                found = at;
                at = node.Right;
            }
            else
            {
                at = node.Left;
            }
        }

        range = _nodes[found].Range;
        return found != 0;
    }

    /// <summary>The first range that begins at or above an address.</summary>
    public bool TryCeiling(ulong address, out AddressRange range)
    {
        int found = 0;
        for (int at = _root; at != 0;)
        {
            ref Node node = ref _nodes[at];
            if (node.Start >= address)
            {
                found = at;
                at = node.Left;
            }
            else
            {
                at = node.Right;
            }
        }

        range = _nodes[found].Range;
        return found != 0;
    }

    /// <summary>The lowest aligned address within bounds at which some bytes fit into one range.</summary>
    public bool TryFit(ulong bytes, ulong align, ulong low, ulong high, out ulong address, out AddressRange range)
    {
        int found = Fit(_root, bytes, align, low, high, out address);
        range = _nodes[found].Range;
        return found != 0;
    }

    /// <summary>Forgets everything.</summary>
    public void Clear()
    {
        _root = 0;
        _used = 1;
        _spare = 0;
        Count = 0;
    }

    /// <summary>All ranges, ascending.</summary>
    public List<AddressRange> ToList()
    {
        List<AddressRange> all = new(Count);
        for (ulong from = 0; TryCeiling(from, out AddressRange range); from = range.Start + 1)
        {
            all.Add(range);
        }

        return all;
    }

    private int Fit(int at, ulong bytes, ulong align, ulong low, ulong high, out ulong address)
    {
        while (at != 0 && _nodes[at].Longest >= bytes)
        {
            ref Node node = ref _nodes[at];
            if (node.Start > low)
            {
                int left = Fit(node.Left, bytes, align, low, high, out address);
                if (left != 0)
                {
                    return left;
                }
            }

            ulong first = Math.Max(node.Start, low);
            ulong aligned = (first + align - 1) & ~(align - 1);
            ulong end = Math.Min(node.End, high);
            if (aligned >= first && aligned < end && end - aligned >= bytes)
            {
                address = aligned;
                return at;
            }

            if (node.Start >= high)
            {
                break;
            }

            at = node.Right;
        }

        address = 0;
        return 0;
    }

    private int NewNode(ulong start, ulong end, int value)
    {
        int node = _spare;
        if (node != 0)
        {
            _spare = _nodes[node].Left;
        }
        else
        {
            if (_used == _nodes.Length)
            {
                Array.Resize(ref _nodes, _used * 2);
            }

            node = _used++;
        }

        _random ^= _random << 13;
        _random ^= _random >> 17;
        _random ^= _random << 5;
        _nodes[node] = new Node { Start = start, End = end, Longest = end - start, Priority = _random, Value = value };
        return node;
    }

    private bool Remove(ref int link, ulong start)
    {
        int at = link;
        if (at == 0)
        {
            return false;
        }

        ref Node node = ref _nodes[at];
        if (node.Start == start)
        {
            link = Join(node.Left, node.Right);
            node.Left = _spare;
            _spare = at;
            return true;
        }

        bool removed = start < node.Start ? Remove(ref node.Left, start) : Remove(ref node.Right, start);
        Update(at);
        return removed;
    }

    private void Resize(int at, ulong oldStart, ulong start, ulong end)
    {
        ref Node node = ref _nodes[at];
        if (node.Start == oldStart)
        {
            node.Start = start;
            node.End = end;
        }
        else
        {
            Resize(oldStart < node.Start ? node.Left : node.Right, oldStart, start, end);
        }

        Update(at);
    }

    private void Split(int at, ulong start, out int left, out int right)
    {
        if (at == 0)
        {
            left = right = 0;
            return;
        }

        ref Node node = ref _nodes[at];
        if (node.Start < start)
        {
            Split(node.Right, start, out int middle, out right);
            node.Right = middle;
            left = at;
        }
        else
        {
            Split(node.Left, start, out left, out int middle);
            node.Left = middle;
            right = at;
        }

        Update(at);
    }

    private int Join(int left, int right)
    {
        if (left == 0 || right == 0)
        {
            return left | right;
        }

        if (_nodes[left].Priority > _nodes[right].Priority)
        {
            _nodes[left].Right = Join(_nodes[left].Right, right);
            Update(left);
            return left;
        }

        _nodes[right].Left = Join(left, _nodes[right].Left);
        Update(right);
        return right;
    }

    private void Update(int at)
    {
        ref Node node = ref _nodes[at];
        node.Longest = Math.Max(node.End - node.Start, Math.Max(_nodes[node.Left].Longest, _nodes[node.Right].Longest));
    }

    private struct Node
    {
        public ulong Start;
        public ulong End;
        public ulong Longest;
        public int Left;
        public int Right;
        public uint Priority;
        public int Value;

        public readonly AddressRange Range => new(Start, End, Value);
    }
}

/// <summary>A range of addresses.</summary>
/// <param name="Start">The first.</param>
/// <param name="End">The one after the last.</param>
/// <param name="Value">A number of the user's.</param>
internal readonly record struct AddressRange(ulong Start, ulong End, int Value = 0);
