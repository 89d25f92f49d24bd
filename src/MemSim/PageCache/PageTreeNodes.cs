using MemSim.Collections;
using MemSim.Slab;

namespace MemSim.PageCache;

/// <summary>Where page cache trees get their nodes: each is an object of the slab cache <c>radix_tree_node</c>, so that the memory is accounted for, and a pooled managed one.</summary>
internal sealed class PageTreeNodes
{
    /// <summary>Those flags of a page's allocation that its tree node's allocation takes over (<c>GFP_RECLAIM_MASK</c>).</summary>
    private const Gfp PassedOn = Gfp.Reclaim | Gfp.High | Gfp.Io | Gfp.Fs | Gfp.NoWarn | Gfp.RetryMayFail | Gfp.NoFail | Gfp.NoRetry | Gfp.MemAlloc | Gfp.NoMemAlloc | Gfp.AtomicBit;

    private readonly KernelObjects _objects;
    private PageTreeNode? _freeLeaves;
    private PageTreeNode? _freeInner;

    /// <summary>Nodes that hold nothing but shadows, for the longest time first.</summary>
    private readonly Chain<PageTreeNode, PageTreeNode.ShadowLinks> _shadows = new();

    public PageTreeNodes(Machine machine) => _objects = machine.Slab.KernelObjects;

    private KmemCache Cache => _objects.CacheOf(KernelObject.PageTreeNode);

    /// <summary>Nodes in use.</summary>
    public long InUse { get; private set; }

    /// <summary>Nodes that hold nothing but shadows.</summary>
    public long ShadowNodes => _shadows.Count;

    /// <summary>Allocates the memory of a node ahead of its use; null when there is none.</summary>
    public VirtualAddress Reserve(Cpu cpu, Gfp gfp) => _objects.Allocate(cpu, Cache, (gfp & PassedOn) | Gfp.Account);

    public void Release(Cpu cpu, VirtualAddress memory) => _objects.Free(cpu, Cache, memory);

    public PageTreeNode Take(Cpu cpu, PageTree tree, VirtualAddress memory, int shift, uint first)
    {
        ref PageTreeNode? free = ref shift == 0 ? ref _freeLeaves : ref _freeInner;
        PageTreeNode node = free ?? new PageTreeNode(shift == 0);
        free = node.Parent;
        node.Parent = null;
        node.Object = memory;
        node.Shift = shift;
        node.Base = first;
        node.Tree = tree;
        node.Home = cpu.Node;
        InUse++;
        return node;
    }

    public void Give(Cpu cpu, PageTreeNode node)
    {
        Unlist(node);
        Release(cpu, node.Object);
        node.Object = default;
        node.Tree = null;
        ref PageTreeNode? free = ref node.Shift == 0 ? ref _freeLeaves : ref _freeInner;
        node.Parent = free;
        free = node;
        InUse--;
    }

    /// <summary>Keeps the list of nodes that hold nothing but shadows up to date (<c>workingset_update_node()</c>).</summary>
    public void Update(PageTreeNode leaf)
    {
        if (leaf.Present != 0 && leaf.Present == leaf.Values && leaf.Tree!.TracksShadows)
        {
            List(leaf);
        }
        else
        {
            Unlist(leaf);
        }
    }

    /// <summary>Frees the nodes that have held nothing but shadows for longest (<c>shadow_lru_isolate()</c>).</summary>
    /// <returns>How many were freed.</returns>
    public int ReclaimShadowNodes(Cpu cpu, int wanted)
    {
        int freed = 0;
        while (freed < wanted && _shadows.First is { } node)
        {
            node.Home!.Counters.WorkingsetNodeReclaim++;
            node.Tree!.DropShadows(cpu, node);
            freed++;
        }

        return freed;
    }

    private void List(PageTreeNode node)
    {
        if (_shadows.Contains(node))
        {
            return;
        }

        _shadows.AddLast(node);
        node.Home!.Counters.WorkingsetNodes++;
    }

    private void Unlist(PageTreeNode node)
    {
        if (!_shadows.Contains(node))
        {
            return;
        }

        _shadows.Remove(node);
        node.Home!.Counters.WorkingsetNodes--;
    }
}
