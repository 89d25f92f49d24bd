using MemSim.Collections;

namespace MemSim.PageCache;

/// <summary>A node of a <see cref="PageTree"/>: 64 slots, what is in them, and which carry a tag (<c>struct xa_node</c>).</summary>
internal sealed class PageTreeNode
{
    public const int SlotShift = 6;
    public const int Slots = 1 << SlotShift;
    public const int SlotMask = Slots - 1;

    /// <summary>Entries of the lowest level; of the one above it those of large pages, as many slots as they need, once there were any.</summary>
    public long[]? Entries;

    /// <summary>Nodes below, of the other levels.</summary>
    public readonly PageTreeNode?[]? Children;

    public PageTreeNode(bool isLeaf)
    {
        Entries = isLeaf ? new long[Slots] : null;
        Children = isLeaf ? null : new PageTreeNode?[Slots];
    }

    public PageTreeNode? Parent;

    /// <summary>How far an index is shifted to give the slot: 0 in the lowest level.</summary>
    public int Shift;

    /// <summary>The first index below the node.</summary>
    public uint Base;

    /// <summary>Slots in use.</summary>
    public ulong Present;

    /// <summary>Slots that hold values rather than pages or nodes.</summary>
    public ulong Values;

    public ulong Dirty;
    public ulong Writeback;
    public ulong ToWrite;

    /// <summary>The object of the slab cache that the kernel would keep the node in.</summary>
    public VirtualAddress Object;

    /// <summary>The CPU's node when it was made: where it is counted.</summary>
    public Node? Home;

    /// <summary>The tree it belongs to.</summary>
    public PageTree? Tree;

    private Links<PageTreeNode, ShadowLinks> _shadowLinks;

    /// <summary>Its place on the list of nodes that hold nothing but values.</summary>
    internal readonly struct ShadowLinks : IChainLinks<PageTreeNode, ShadowLinks>
    {
        public static ref Links<PageTreeNode, ShadowLinks> Of(PageTreeNode member) => ref member._shadowLinks;
    }

    /// <summary>The slot of an index.</summary>
    public int SlotOf(uint index) => (int)(index >> Shift) & SlotMask;

    public int SlotInParent => (int)(Base >> (Shift + SlotShift)) & SlotMask;

    public ulong Map(PageTag tag) => tag switch
    {
        PageTag.Dirty => Dirty,
        PageTag.Writeback => Writeback,
        PageTag.ToWrite => ToWrite,
        _ => Present,
    };

    public ref ulong MapOf(PageTag tag)
    {
        switch (tag)
        {
            case PageTag.Dirty:
                return ref Dirty;
            case PageTag.Writeback:
                return ref Writeback;
            case PageTag.ToWrite:
                return ref ToWrite;
            default:
                return ref Present;
        }
    }
}

/// <summary>What an entry of the page cache can be marked with, so that it is found quickly (<c>PAGECACHE_TAG_*</c>).</summary>
internal enum PageTag
{
    /// <summary>To be written.</summary>
    Dirty,

    /// <summary>Being written.</summary>
    Writeback,

    /// <summary>Dirty when the current write-back of the file began.</summary>
    ToWrite,

    /// <summary>Every entry.</summary>
    Any,
}
