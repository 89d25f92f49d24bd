using System.Diagnostics;
using System.Runtime.CompilerServices;

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

    /// <summary>The entry at an index, or 0. All indexes of a large page have its entry.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public long Get(uint index) =>
        _recent is { } recent && (index & ~(uint)PageTreeNode.SlotMask) == recent.Base ? recent.Entries![(int)index & PageTreeNode.SlotMask] : GetElsewhere(index);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private long GetElsewhere(uint index)
    {
        if (FindNode(index) is { } node)
        {
            return node.Entries![node.SlotOf(index)];
        }

        return index == 0 && _root is null ? _single : 0;
    }

    /// <summary>Allocates the nodes that an entry at an index needs. Reclaim may run meanwhile and change this very tree.</summary>
    /// <returns>False: no memory.</returns>
    public bool TryReserve(Cpu cpu, uint index, Gfp gfp, int order = 0)
    {
        while (_reservedCount < NodesNeeded(index, order))
        {
            if (!TryReserveOne(cpu, gfp, out bool isFull))
            {
                return false;
            }

            if (isFull)
            {
                break;
            }
        }

        return true;
    }

    /// <summary>Stores an entry; the nodes are there or were reserved. Tags of the index are kept.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="index">The index, a multiple of the page's size.</param>
    /// <param name="entry">The entry.</param>
    /// <param name="order">The order of the page; nodes that hold values of its indexes go.</param>
    /// <returns>The entry before; of several the last.</returns>
    public long Store(Cpu cpu, uint index, long entry, int order = 0)
    {
        if (index == 0 && _root is null && order == 0)
        {
            long single = _single;
            _single = entry;
            Count(single, entry, 1);
            ReleaseReserved(cpu);
            return single;
        }

        if (order == 0 && _recent is { } recent && (index & ~(uint)PageTreeNode.SlotMask) == recent.Base)
        {
            long replaced = Set(recent, (int)index & PageTreeNode.SlotMask, entry);
            _nodes.Update(recent);
            ReleaseReserved(cpu);
            return replaced;
        }

        PageTreeNode node = FindNode(index) is { } found && found.Shift == ShiftOf(order) ? found : MakeNode(cpu, index, order);
        long before = 0;
        int slot = node.SlotOf(index);
        for (int end = slot + (1 << (order - node.Shift)); slot < end; slot++)
        {
            long old = node.Children?[slot] is { } below ? DropValues(cpu, below) : 0;
            old |= Set(node, slot, entry);
            before = old != 0 ? old : before;
        }

        _nodes.Update(node);
        ReleaseReserved(cpu);
        return before;
    }

    /// <summary>Leaves a value in the place of a page, which loses its tags for writing.</summary>
    public void Evict(uint index, long value, int order = 0)
    {
        if (FindNode(index) is not { } node)
        {
            Debug.Assert(index == 0 && _root is null && IsPage(_single), "no page at this index");
            _singleTags &= ~(1 << (int)PageTag.Dirty | 1 << (int)PageTag.ToWrite);
            Count(_single, value, 1);
            _single = value;
            return;
        }

        int slot = node.SlotOf(index);
        ulong bit = 1UL << slot;
        if (((node.Dirty | node.ToWrite) & bit) != 0)
        {
            ClearTag(index, PageTag.Dirty);
            ClearTag(index, PageTag.ToWrite);
        }

        if (order == 0)
        {
            // Nearly always: a page is there, and now a value.
            Debug.Assert(IsPage(node.Entries![slot]) && IsValue(value) && Pages > 0, "a page goes, a value stays");
            node.Entries![slot] = value;
            node.Values |= bit;
            Pages--;
            Values++;
            _nodes.Update(node);
            return;
        }

        for (int end = slot + (1 << (order - node.Shift)); slot < end; slot++)
        {
            _ = Set(node, slot, value);
        }

        _nodes.Update(node);
    }

    /// <summary>Removes an entry and its tags; where a value stands for many indexes, all of them.</summary>
    public void Remove(Cpu cpu, uint index, int order = 0)
    {
        PageTreeNode? node = FindNode(index);
        if (node is null)
        {
            if (index == 0 && _root is null)
            {
                Count(_single, 0, 1);
                _single = 0;
                _singleTags = 0;
            }

            return;
        }

        int slot = node.SlotOf(index);
        if ((node.Present >> slot & 1) == 0)
        {
            return;
        }

        ClearTag(index, PageTag.Dirty);
        ClearTag(index, PageTag.Writeback);
        ClearTag(index, PageTag.ToWrite);
        for (int end = slot + (1 << Math.Max(order - node.Shift, 0)); slot < end; slot++)
        {
            _ = Set(node, slot, 0);
        }

        _nodes.Update(node);
        if (node.Present == 0)
        {
            RemoveNode(cpu, node);
        }

        Shrink(cpu);
    }

    /// <summary>Frees a node that holds nothing but values.</summary>
    public void DropShadows(Cpu cpu, PageTreeNode node)
    {
        for (int slot = 0; slot < PageTreeNode.Slots; slot++)
        {
            _ = Set(node, slot, 0);
        }

        RemoveNode(cpu, node);
        Shrink(cpu);
    }

    /// <summary>Puts an entry, or nothing, into a slot.</summary>
    /// <returns>What was there.</returns>
    private long Set(PageTreeNode node, int slot, long entry)
    {
        ulong bit = 1UL << slot;
        long before = node.Entries![slot];
        node.Entries[slot] = entry;
        node.Present = entry != 0 ? node.Present | bit : node.Present & ~bit;
        node.Values = IsValue(entry) ? node.Values | bit : node.Values & ~bit;
        Count(before, entry, 1L << node.Shift);
        Debug.Assert((node.Values & ~node.Present) == 0, "what is a value is there");
        return before;
    }

    private void Count(long before, long after, long indexes)
    {
        if (after != 0)
        {
            long values = (after & 1) * indexes;
            Values += values;
            Pages += indexes - values;
        }

        if (before != 0)
        {
            long values = (before & 1) * indexes;
            Values -= values;
            Pages -= indexes - values;
        }

        Debug.Assert(Pages >= 0 && Values >= 0, "no more entries go than came");
    }

    /// <summary>The node that has the entry of an index; on the lowest level also where there is none.</summary>
    private PageTreeNode? FindNode(uint index)
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
            int slot = node.SlotOf(index);
            if (node.Children![slot] is not { } child)
            {
                return node.Entries is { } entries && entries[slot] != 0 ? node : null;
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
        Debug.Assert(_reservedCount > 0, "a node that was not reserved");
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
            Debug.Assert(node.Present == 0 && node.Values == 0, "an empty node");
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
                _nodes.Update(parent);
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
            else if (root.Children![0] is { } below)
            {
                _root = below;
                below.Parent = null;
                root.Children[0] = null;
            }
            else
            {
                // A large page: there is nothing below.
                return;
            }

            root.Present = 0;
            root.Dirty = root.Writeback = root.ToWrite = 0;
            _nodes.Give(cpu, root);
        }
    }
}
