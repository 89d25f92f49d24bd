using System.Numerics;

namespace MemSim.PageCache;

/// <summary>Entries by page index, in order, 64 a node, with tags (<c>struct xarray</c>). An entry is a page, a value (shadow or swap entry), or nothing.</summary>
/// <remarks>An entry at index 0 alone needs no node. Nodes without entries are freed, and levels that only lead to index 0 are taken away.</remarks>
internal sealed partial class PageTree
{
    /// <summary>Nodes that one insertion can need: a chain to the old root and a path to the new entry.</summary>
    private const int MaxNodesNeeded = 12;

    private readonly PageTreeNodes _nodes;
    private readonly VirtualAddress[] _reserved = new VirtualAddress[MaxNodesNeeded];
    private int _reservedCount;
    private PageTreeNode? _root;
    private PageTreeNode? _recent;
    private long _single;
    private int _singleTags;

    public PageTree(PageTreeNodes nodes, bool tracksShadows)
    {
        _nodes = nodes;
        TracksShadows = tracksShadows;
    }

    /// <summary>Whether values are shadows, which are worth less than the node that holds them.</summary>
    public bool TracksShadows { get; }

    /// <summary>Pages in the tree.</summary>
    public long Pages { get; private set; }

    /// <summary>Values in the tree.</summary>
    public long Values { get; private set; }

    public bool IsEmpty => (Pages | Values) == 0;

    public static long PageEntry(int pfn) => ((long)pfn + 1) << 1;

    public static long ValueEntry(long value) => (value << 1) | 1;

    public static bool IsPage(long entry) => entry != 0 && (entry & 1) == 0;

    public static bool IsValue(long entry) => (entry & 1) != 0;

    public static int PfnOf(long entry) => (int)((entry >> 1) - 1);

    public static long ValueOf(long entry) => entry >> 1;

    /// <summary>The entry at an index, or 0.</summary>
    public long Get(uint index)
    {
        PageTreeNode? leaf = FindLeaf(index);
        if (leaf is not null)
        {
            return leaf.Entries![index & PageTreeNode.SlotMask];
        }

        return index == 0 && _root is null ? _single : 0;
    }

    /// <summary>Allocates the nodes that an entry at an index needs. Reclaim may run meanwhile and change this very tree.</summary>
    /// <returns>False: no memory.</returns>
    public bool TryReserve(Cpu cpu, uint index, Gfp gfp)
    {
        while (_reservedCount < NodesNeeded(index))
        {
            VirtualAddress memory = _nodes.Reserve(cpu, gfp);
            if (memory.IsNull)
            {
                ReleaseReserved(cpu);
                return false;
            }

            if (_reservedCount == MaxNodesNeeded)
            {
                _nodes.Release(cpu, memory);
                break;
            }

            _reserved[_reservedCount++] = memory;
        }

        return true;
    }

    /// <summary>Stores an entry; the nodes are there or were reserved. Tags of the index are kept.</summary>
    /// <returns>The entry before.</returns>
    public long Store(Cpu cpu, uint index, long entry)
    {
        if (index == 0 && _root is null)
        {
            long single = _single;
            _single = entry;
            Count(single, entry);
            ReleaseReserved(cpu);
            return single;
        }

        PageTreeNode leaf = FindLeaf(index) ?? MakeLeaf(cpu, index);
        int slot = (int)index & PageTreeNode.SlotMask;
        ulong bit = 1UL << slot;
        long before = leaf.Entries![slot];
        leaf.Entries[slot] = entry;
        leaf.Present |= bit;
        leaf.Values = IsValue(entry) ? leaf.Values | bit : leaf.Values & ~bit;
        Count(before, entry);
        _nodes.Update(leaf);
        ReleaseReserved(cpu);
        return before;
    }

    /// <summary>Leaves a value in the place of a page, which loses its tags for writing.</summary>
    public void Evict(uint index, long value)
    {
        if (FindLeaf(index) is not { } leaf)
        {
            System.Diagnostics.Debug.Assert(index == 0 && _root is null && IsPage(_single), "no page at this index");
            _singleTags &= ~(1 << (int)PageTag.Dirty | 1 << (int)PageTag.ToWrite);
            Count(_single, value);
            _single = value;
            return;
        }

        int slot = (int)index & PageTreeNode.SlotMask;
        ulong bit = 1UL << slot;
        if (((leaf.Dirty | leaf.ToWrite) & bit) != 0)
        {
            ClearTag(index, PageTag.Dirty);
            ClearTag(index, PageTag.ToWrite);
        }

        leaf.Entries![slot] = value;
        leaf.Values |= bit;
        Pages--;
        Values++;
        _nodes.Update(leaf);
    }

    /// <summary>Removes an entry and its tags.</summary>
    public void Remove(Cpu cpu, uint index)
    {
        PageTreeNode? leaf = FindLeaf(index);
        if (leaf is null)
        {
            if (index == 0 && _root is null)
            {
                Count(_single, 0);
                _single = 0;
                _singleTags = 0;
            }

            return;
        }

        int slot = (int)index & PageTreeNode.SlotMask;
        ulong bit = 1UL << slot;
        if ((leaf.Present & bit) == 0)
        {
            return;
        }

        ClearTag(index, PageTag.Dirty);
        ClearTag(index, PageTag.Writeback);
        ClearTag(index, PageTag.ToWrite);
        Count(leaf.Entries![slot], 0);
        leaf.Entries[slot] = 0;
        leaf.Present &= ~bit;
        leaf.Values &= ~bit;
        _nodes.Update(leaf);
        if (leaf.Present == 0)
        {
            RemoveNode(cpu, leaf);
        }

        Shrink(cpu);
    }

    /// <summary>Frees a node that holds nothing but values.</summary>
    public void DropShadows(Cpu cpu, PageTreeNode leaf)
    {
        Values -= BitOperations.PopCount(leaf.Values);
        Array.Clear(leaf.Entries!);
        leaf.Present = 0;
        leaf.Values = 0;
        RemoveNode(cpu, leaf);
        Shrink(cpu);
    }

    private void Count(long before, long after)
    {
        Pages += (IsPage(after) ? 1 : 0) - (IsPage(before) ? 1 : 0);
        Values += (IsValue(after) ? 1 : 0) - (IsValue(before) ? 1 : 0);
    }

    private PageTreeNode? FindLeaf(uint index)
    {
        PageTreeNode? node = _recent;
        if (node is not null && (index & ~(uint)PageTreeNode.SlotMask) == node.Base)
        {
            return node;
        }

        node = _root;
        if (node is null || index >> node.Shift >= PageTreeNode.Slots)
        {
            return null;
        }

        while (node.Shift != 0)
        {
            node = node.Children![(index >> node.Shift) & PageTreeNode.SlotMask];
            if (node is null)
            {
                return null;
            }
        }

        _recent = node;
        return node;
    }

    private int NodesNeeded(uint index)
    {
        if (_root is null)
        {
            if (index == 0)
            {
                return 0;
            }

            int levels = LevelsFor(index);
            return _single == 0 ? levels : Math.Max(levels, (2 * levels) - 1);
        }

        if (index >> _root.Shift >= PageTreeNode.Slots)
        {
            int levels = LevelsFor(index);
            return levels - ((_root.Shift / PageTreeNode.SlotShift) + 1) + levels - 1;
        }

        PageTreeNode node = _root;
        while (node.Shift != 0)
        {
            PageTreeNode? child = node.Children![(index >> node.Shift) & PageTreeNode.SlotMask];
            if (child is null)
            {
                return node.Shift / PageTreeNode.SlotShift;
            }

            node = child;
        }

        return 0;
    }

    private static int LevelsFor(uint index) => (BitOperations.Log2(index | 1) / PageTreeNode.SlotShift) + 1;

    private PageTreeNode MakeLeaf(Cpu cpu, uint index)
    {
        if (_root is null)
        {
            int shift = (LevelsFor(index) - 1) * PageTreeNode.SlotShift;
            if (_single == 0)
            {
                _root = TakeReserved(cpu, shift, 0);
            }
            else
            {
                WrapSingle(cpu);
            }
        }

        while (index >> _root!.Shift >= PageTreeNode.Slots)
        {
            PageTreeNode above = TakeReserved(cpu, _root.Shift + PageTreeNode.SlotShift, 0);
            above.Children![0] = _root;
            above.Present = 1;
            above.Dirty = _root.Dirty != 0 ? 1u : 0;
            above.Writeback = _root.Writeback != 0 ? 1u : 0;
            above.ToWrite = _root.ToWrite != 0 ? 1u : 0;
            _root.Parent = above;
            _root = above;
        }

        PageTreeNode node = _root;
        while (node.Shift != 0)
        {
            int slot = (int)(index >> node.Shift) & PageTreeNode.SlotMask;
            PageTreeNode? child = node.Children![slot];
            if (child is null)
            {
                int shift = node.Shift - PageTreeNode.SlotShift;
                child = TakeReserved(cpu, shift, (uint)(index & ~((1UL << (shift + PageTreeNode.SlotShift)) - 1)));
                child.Parent = node;
                node.Children[slot] = child;
                node.Present |= 1UL << slot;
            }

            node = child;
        }

        _recent = node;
        return node;
    }

    private void WrapSingle(Cpu cpu)
    {
        PageTreeNode leaf = TakeReserved(cpu, 0, 0);
        leaf.Entries![0] = _single;
        leaf.Present = 1;
        leaf.Values = IsValue(_single) ? 1u : 0;
        leaf.Dirty = (ulong)(_singleTags >> (int)PageTag.Dirty) & 1;
        leaf.Writeback = (ulong)(_singleTags >> (int)PageTag.Writeback) & 1;
        leaf.ToWrite = (ulong)(_singleTags >> (int)PageTag.ToWrite) & 1;
        _single = 0;
        _singleTags = 0;
        _root = leaf;
        _nodes.Update(leaf);
    }

    private PageTreeNode TakeReserved(Cpu cpu, int shift, uint first)
    {
        System.Diagnostics.Debug.Assert(_reservedCount > 0, "a node that was not reserved");
        return _nodes.Take(cpu, this, _reserved[--_reservedCount], shift, first);
    }

    private void ReleaseReserved(Cpu cpu)
    {
        while (_reservedCount > 0)
        {
            _nodes.Release(cpu, _reserved[--_reservedCount]);
        }
    }

    /// <summary>Frees an empty node and those above that become empty by it.</summary>
    private void RemoveNode(Cpu cpu, PageTreeNode node)
    {
        while (true)
        {
            PageTreeNode? parent = node.Parent;
            if (_recent == node)
            {
                _recent = null;
            }

            if (parent is null)
            {
                _root = null;
                _nodes.Give(cpu, node);
                return;
            }

            int slot = node.SlotInParent;
            parent.Children![slot] = null;
            parent.Present &= ~(1UL << slot);
            _nodes.Give(cpu, node);
            if (parent.Present != 0)
            {
                return;
            }

            node = parent;
        }
    }

    private void Shrink(Cpu cpu)
    {
        while (_root is { } root && root.Present == 1)
        {
            if (root.Shift == 0)
            {
                _single = root.Entries![0];
                _singleTags = (int)((root.Dirty & 1) << (int)PageTag.Dirty | (root.Writeback & 1) << (int)PageTag.Writeback | (root.ToWrite & 1) << (int)PageTag.ToWrite);
                root.Entries[0] = 0;
                root.Values = 0;
                _root = null;
                _recent = null;
            }
            else
            {
                _root = root.Children![0];
                _root!.Parent = null;
                root.Children[0] = null;
            }

            root.Present = 0;
            root.Dirty = root.Writeback = root.ToWrite = 0;
            _nodes.Give(cpu, root);
        }
    }
}
