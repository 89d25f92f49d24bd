using System.Diagnostics;
using System.Numerics;

namespace MemSim.PageCache;

/// <content>Nodes: how many an entry needs, and where they go. Large pages are entries of the level whose slots are not larger than they are.</content>
internal sealed partial class PageTree
{
    /// <summary>Allocates the nodes that a large page's place needs when it is split into single pages.</summary>
    /// <returns>False: no memory.</returns>
    public bool TryReserveSplit(Cpu cpu, int order, Gfp gfp)
    {
        int nodes = ShiftOf(order) == 0 ? 0 : 1 << (order - PageTreeNode.SlotShift);
        bool isFull = false;
        while (_reservedCount < nodes && !isFull)
        {
            if (!TryReserveOne(cpu, gfp, out isFull))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Gives back what was reserved: there is nothing to store any more.</summary>
    public void CancelReserve(Cpu cpu) => ReleaseReserved(cpu);

    /// <summary>The frames of a large page become entries of their own; the nodes were reserved.</summary>
    public void SplitPages(Cpu cpu, uint index, int order, int pfn)
    {
        PageTreeNode node = FindNode(index)!;
        if (node.Shift == 0)
        {
            for (uint i = 0; i < 1u << order; i++)
            {
                node.Entries![node.SlotOf(index + i)] = PageEntry(pfn + (int)i);
            }

            return;
        }

        for (uint part = 0; part < 1u << order; part += PageTreeNode.Slots)
        {
            PageTreeNode leaf = Divide(cpu, node, node.SlotOf(index + part));
            for (int slot = 0; slot < PageTreeNode.Slots; slot++)
            {
                leaf.Entries![slot] = PageEntry(pfn + (int)part + slot);
            }
        }

        ReleaseReserved(cpu);
    }

    private static int ShiftOf(int order) => order / PageTreeNode.SlotShift * PageTreeNode.SlotShift;

    private static int LevelsFor(uint index) => (BitOperations.Log2(index | 1) / PageTreeNode.SlotShift) + 1;

    private bool TryReserveOne(Cpu cpu, Gfp gfp, out bool isFull)
    {
        isFull = false;
        VirtualAddress memory = _nodes.Reserve(cpu, gfp);
        if (memory.IsNull)
        {
            ReleaseReserved(cpu);
            return false;
        }

        if (_reservedCount == MaxNodesNeeded)
        {
            _nodes.Release(cpu, memory);
            isFull = true;
        }
        else
        {
            _reserved[_reservedCount++] = memory;
        }

        return true;
    }

    private int NodesNeeded(uint index, int order)
    {
        if (order == 0 && _recent is { } recent && (index & ~(uint)PageTreeNode.SlotMask) == recent.Base)
        {
            return 0;
        }

        int lowest = ShiftOf(order);
        uint last = index | (uint)((1 << order) - 1);
        if (_root is null)
        {
            if (last == 0)
            {
                return 0;
            }

            int levels = LevelsFor(last);
            int below = levels - (lowest / PageTreeNode.SlotShift);
            return _single == 0 ? Math.Max(below, 1) : Math.Max(levels, levels + below - 1);
        }

        if (last >> _root.Shift >= PageTreeNode.Slots)
        {
            int levels = LevelsFor(last);
            return levels - ((_root.Shift / PageTreeNode.SlotShift) + 1) + Math.Max(levels - 1 - (lowest / PageTreeNode.SlotShift), 0);
        }

        PageTreeNode node = _root;
        while (node.Shift > lowest)
        {
            PageTreeNode? child = node.Children![node.SlotOf(index)];
            if (child is null)
            {
                return (node.Shift - lowest) / PageTreeNode.SlotShift;
            }

            node = child;
        }

        // A root that is too low for a large page is covered above.
        return node.Shift < lowest ? 1 : 0;
    }

    /// <summary>The node in which an entry of an order is kept, with those above it.</summary>
    private PageTreeNode MakeNode(Cpu cpu, uint index, int order)
    {
        uint last = index | (uint)((1 << order) - 1);
        int lowest = ShiftOf(order);
        if (_root is null)
        {
            int shift = Math.Max((LevelsFor(last) - 1) * PageTreeNode.SlotShift, lowest);
            if (_single == 0)
            {
                _root = TakeReserved(cpu, shift, 0);
            }
            else
            {
                WrapSingle(cpu);
            }
        }

        while (last >> _root!.Shift >= PageTreeNode.Slots || _root.Shift < lowest)
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
        while (node.Shift > lowest)
        {
            int slot = node.SlotOf(index);
            node = node.Children![slot] ?? Divide(cpu, node, slot);
        }

        if (node.Shift == 0)
        {
            _recent = node;
        }
        else
        {
            node.Entries ??= new long[PageTreeNode.Slots];
        }

        return node;
    }

    /// <summary>A node below a slot. What the slot said of all its indexes, the node says of each.</summary>
    private PageTreeNode Divide(Cpu cpu, PageTreeNode node, int slot)
    {
        int shift = node.Shift - PageTreeNode.SlotShift;
        PageTreeNode child = TakeReserved(cpu, shift, (uint)(node.Base + ((ulong)slot << node.Shift)));
        long entry = node.Entries?[slot] ?? 0;
        if (entry != 0)
        {
            child.Entries ??= new long[PageTreeNode.Slots];
            Array.Fill(child.Entries, entry);
            child.Present = ulong.MaxValue;
            child.Values = IsValue(entry) ? ulong.MaxValue : 0;
            node.Entries![slot] = 0;
            node.Values &= ~(1UL << slot);
        }

        child.Parent = node;
        node.Children![slot] = child;
        node.Present |= 1UL << slot;
        _nodes.Update(node);
        _nodes.Update(child);
        return child;
    }

    /// <summary>Frees a node below which there are only values: a large page takes their place.</summary>
    /// <returns>The last of them.</returns>
    private long DropValues(Cpu cpu, PageTreeNode node)
    {
        long last = 0;
        for (int slot = 0; slot < PageTreeNode.Slots; slot++)
        {
            last = Set(node, slot, 0) is var old and not 0 ? old : last;
        }

        if (_recent == node)
        {
            _recent = null;
        }

        Debug.Assert(node.Present == 0 && node.Parent!.Children![node.SlotInParent] == node, "an empty node, which the one above has");
        node.Parent!.Children![node.SlotInParent] = null;
        _nodes.Give(cpu, node);
        return last;
    }
}
