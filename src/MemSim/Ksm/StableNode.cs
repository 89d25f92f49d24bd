using MemSim.Pages;

namespace MemSim.Ksm;

/// <summary>A merged page (<c>struct ksm_stable_node</c>): what <c>page->mapping</c> of it points at.</summary>
/// <remarks>It is stale once its page is gone: whoever meets it next removes it, as in the kernel. A chain has no page, but several with equal bytes.</remarks>
internal sealed class StableNode : ContentNode
{
    /// <summary>Makes one for a page that becomes a merged one.</summary>
    public StableNode(MappingTable mappings, int pfn, int node)
    {
        Id = mappings.Add(this);
        Pfn = pfn;
        Node = node;
    }

    /// <summary>Makes a chain.</summary>
    public StableNode(int node)
    {
        Pfn = -1;
        Node = node;
        Copies = [];
    }

    /// <summary>Its number in the machine's table of owners.</summary>
    public uint Id { get; }

    /// <summary>What its page's frame has as mapping.</summary>
    public uint Mapping => MappingTable.Value(Id, MappingTable.Merged);

    /// <summary>Its frame.</summary>
    public int Pfn { get; set; }

    /// <summary>The NUMA node in whose tree it is.</summary>
    public int Node { get; set; }

    /// <summary>Entries that map it, as far as ksmd has seen them; the newest first.</summary>
    public List<RmapItem> Items { get; } = [];

    /// <summary>Of a chain: the merged pages with equal bytes. Null for one page.</summary>
    public List<StableNode>? Copies { get; }

    /// <summary>The chain that it is part of.</summary>
    public StableNode? Chain { get; set; }

    /// <summary>When a chain was last looked through for pages that are gone, in nanoseconds.</summary>
    public long PrunedAt { get; set; }

    /// <summary>Whether it is in no tree because its page is on another node now (<c>migrate_nodes</c>), or because nothing was merged with it after all.</summary>
    public bool IsWaiting { get; set; }
}
