using System.Numerics;

namespace MemSim.PageCache;

/// <content>Tags and searches.</content>
internal sealed partial class PageTree
{
    public bool HasTag(uint index, PageTag tag)
    {
        if (_root is null)
        {
            return index == 0 && (_singleTags >> (int)tag & 1) != 0;
        }

        return FindNode(index) is { } node && (node.Map(tag) >> node.SlotOf(index) & 1) != 0;
    }

    /// <summary>Whether any entry has a tag (<c>mapping_tagged()</c>).</summary>
    public bool HasAny(PageTag tag) => _root is null ? (_singleTags >> (int)tag & 1) != 0 : _root.Map(tag) != 0;

    /// <summary>Tags an entry.</summary>
    public void SetTag(uint index, PageTag tag)
    {
        if (_root is null)
        {
            _singleTags |= index == 0 && _single != 0 ? 1 << (int)tag : 0;
            return;
        }

        PageTreeNode? node = FindNode(index);
        if (node is null || (node.Present >> node.SlotOf(index) & 1) == 0)
        {
            return;
        }

        while (node is not null)
        {
            ref ulong map = ref node.MapOf(tag);
            ulong bit = 1UL << ((int)(index >> node.Shift) & PageTreeNode.SlotMask);
            if ((map & bit) != 0)
            {
                return;
            }

            map |= bit;
            node = node.Parent;
        }
    }

    public void ClearTag(uint index, PageTag tag)
    {
        if (_root is null)
        {
            _singleTags &= index == 0 ? ~(1 << (int)tag) : ~0;
            return;
        }

        PageTreeNode? node = FindNode(index);
        while (node is not null)
        {
            ref ulong map = ref node.MapOf(tag);
            ulong bit = 1UL << ((int)(index >> node.Shift) & PageTreeNode.SlotMask);
            if ((map & bit) == 0)
            {
                return;
            }

            map &= ~bit;
            if (map != 0)
            {
                return;
            }

            node = node.Parent;
        }
    }

    /// <summary>Finds the next entry.</summary>
    /// <param name="index">Where to start; where it was found.</param>
    /// <param name="last">The last index to look at.</param>
    /// <param name="tag">What it must be tagged with; <see cref="PageTag.Any"/> for nothing in particular.</param>
    /// <param name="entry">The entry.</param>
    /// <returns>Whether there is one.</returns>
    public bool Next(ref uint index, uint last, PageTag tag, out long entry)
    {
        entry = 0;
        if (_root is null)
        {
            bool found = index == 0 && _single != 0 && (tag == PageTag.Any || (_singleTags >> (int)tag & 1) != 0);
            entry = found ? _single : 0;
            return found;
        }

        while (index <= last && index >> _root.Shift < PageTreeNode.Slots)
        {
            PageTreeNode node = _root;
            while (true)
            {
                int slot = (int)(index >> node.Shift) & PageTreeNode.SlotMask;
                ulong bits = node.Map(tag) >> slot;
                if (bits == 0)
                {
                    // Nothing more in this node: go on behind it.
                    ulong behind = node.Base + ((ulong)PageTreeNode.Slots << node.Shift);
                    if (behind > last)
                    {
                        return false;
                    }

                    index = (uint)behind;
                    break;
                }

                int skipped = BitOperations.TrailingZeroCount(bits);
                if (skipped != 0)
                {
                    index = (uint)(((ulong)(index >> node.Shift) + (ulong)skipped) << node.Shift);
                }

                slot += skipped;
                if (node.Children?[slot] is not { } child)
                {
                    entry = node.Entries![slot];
                    return index <= last;
                }

                node = child;
            }
        }

        return false;
    }

    /// <summary>Finds the next index without a page (<c>page_cache_next_miss()</c>).</summary>
    public uint NextMiss(uint index, uint max)
    {
        for (uint i = 0; i < max && index != uint.MaxValue; i++, index++)
        {
            if (!IsPage(Get(index)))
            {
                break;
            }
        }

        return index;
    }

    /// <summary>Counts the pages directly before an index, up to a number of them.</summary>
    public uint PagesBefore(uint index, uint max)
    {
        uint count = 0;
        while (count < max && count < index && IsPage(Get(index - 1 - count)))
        {
            count++;
        }

        return count;
    }

    /// <summary>Checks the nodes: links, counts, tags of inner nodes.</summary>
    /// <exception cref="InvalidOperationException">Something is inconsistent.</exception>
    public void Verify()
    {
        long pages = 0;
        long values = 0;
        if (_root is null)
        {
            pages = IsPage(_single) ? 1 : 0;
            values = IsValue(_single) ? 1 : 0;
        }
        else
        {
            VerifyNode(_root, null, ref pages, ref values);
        }

        Require(pages == Pages && values == Values, $"the tree holds {pages} pages and {values} values, but counts {Pages} and {Values}");
        Require(_reservedCount == 0, "nodes are reserved although nothing is being inserted");
    }

    private void VerifyNode(PageTreeNode node, PageTreeNode? parent, ref long pages, ref long values)
    {
        Require(node.Parent == parent && node.Tree == this && node.Present != 0, $"the node at index {node.Base} is linked wrongly or empty");
        for (int slot = 0; slot < PageTreeNode.Slots; slot++)
        {
            ulong bit = 1UL << slot;
            bool present = (node.Present & bit) != 0;
            Require(present || ((node.Dirty | node.Writeback | node.ToWrite) & bit) == 0, $"tags without entry below index {node.Base}");
            PageTreeNode? child = node.Children?[slot];
            long entry = node.Entries?[slot] ?? 0;
            Require(present == (entry != 0 || child is not null) && (entry == 0 || child is null) && IsValue(entry) == ((node.Values & bit) != 0), $"the bitmaps of the node at index {node.Base} are wrong");
            pages += IsPage(entry) ? 1L << node.Shift : 0;
            values += IsValue(entry) ? 1L << node.Shift : 0;
            if (child is not null)
            {
                Require(child.Shift == node.Shift - PageTreeNode.SlotShift && child.SlotInParent == slot, $"the node at index {child.Base} is in the wrong place");
                Require((child.Dirty != 0) == ((node.Dirty & bit) != 0) && (child.Writeback != 0) == ((node.Writeback & bit) != 0)
                    && (child.ToWrite != 0) == ((node.ToWrite & bit) != 0), $"tags are not passed up from index {child.Base}");
                VerifyNode(child, node, ref pages, ref values);
            }
        }
    }

    private static void Require(bool holds, string what)
    {
        if (!holds)
        {
            throw new InvalidOperationException(what);
        }
    }
}
