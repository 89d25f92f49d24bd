using System.Diagnostics;
using MemSim.Swap;

namespace MemSim;

/// <content>Nodes of the swap cache's trees that hold nothing but shadows, where a shrinker gives those back (Linux 6.3 to 6.17; before that nobody did, and since 6.18 there are no trees).</content>
public sealed partial class SwapArea
{
    /// <summary>Slots of a node (<c>XA_CHUNK_SHIFT</c>).</summary>
    private const int NodeShift = 6;

    private const int ChunkNodes = ChunkSlots >> NodeShift;

    /// <summary>By chunk; null where kernels keep no account of them.</summary>
    private readonly SwapCacheNode[]?[]? _nodes;

    // The list of those with shadows alone, for the longest time first: numbers of nodes plus one, 0 at the ends.
    private int _firstShadows;
    private int _lastShadows;

    /// <summary>How many hold nothing but shadows.</summary>
    internal int ShadowNodes { get; private set; }

    /// <summary>Frees the nodes that have held nothing but shadows for longest, shadows and all (<c>shadow_lru_isolate()</c>).</summary>
    /// <returns>How many were freed.</returns>
    internal int ReclaimShadowNodes(int wanted)
    {
        int freed = 0;
        for (; freed < wanted && _firstShadows != 0; freed++)
        {
            int number = _firstShadows - 1;
            long[] cache = _cache[number / ChunkNodes]!;
            int first = number % ChunkNodes << NodeShift;
            Unlist(number);
            Array.Clear(cache, first, 1 << NodeShift);
            ref SwapCacheNode node = ref Node(number);
            node.Shadows = 0;
            _space.CountersOf(node.Zone).WorkingsetNodeReclaim++;
        }

        return freed;
    }

    /// <summary>An entry of the cache changes (<c>workingset_update_node()</c>).</summary>
    private void UpdateNode(long slot, long before, long after)
    {
        int number = (int)(slot >> NodeShift);
        ref SwapCacheNode[]? chunk = ref _nodes![number / ChunkNodes];
        if (chunk is null)
        {
            chunk = new SwapCacheNode[ChunkNodes];
            _space.Machine.Files.UsePageCache();
        }

        ref SwapCacheNode node = ref chunk[number % ChunkNodes];
        if (node.Pages + node.Shadows == 0 && after != 0 && (after & 1) == 0)
        {
            // The CPU's node in the kernel, which is that of the page as a rule.
            node.Zone = (ushort)_space.ZoneOf((int)(after >> 1) - 1);
        }

        Count(ref node, before, -1);
        Count(ref node, after, 1);
        bool isListed = node.IsListed;
        if (node.Pages == 0 && node.Shadows != 0)
        {
            if (!isListed)
            {
                List(number);
            }
        }
        else if (isListed)
        {
            Unlist(number);
        }

        static void Count(ref SwapCacheNode node, long entry, int change)
        {
            node.Pages += (byte)(entry != 0 && (entry & 1) == 0 ? change : 0);
            node.Shadows += (byte)((entry & 1) != 0 ? change : 0);
        }
    }

    private ref SwapCacheNode Node(int number) => ref _nodes![number / ChunkNodes]![number % ChunkNodes];

    private void List(int number)
    {
        ref SwapCacheNode node = ref Node(number);
        node.IsListed = true;
        node.Previous = _lastShadows;
        node.Next = 0;
        if (_lastShadows != 0)
        {
            Node(_lastShadows - 1).Next = number + 1;
        }
        else
        {
            _firstShadows = number + 1;
        }

        _lastShadows = number + 1;
        ShadowNodes++;
        _space.CountersOf(node.Zone).WorkingsetNodes++;
    }

    private void Unlist(int number)
    {
        ref SwapCacheNode node = ref Node(number);
        Debug.Assert(node.IsListed && ShadowNodes > 0, "on the list");
        node.IsListed = false;
        if (node.Previous != 0)
        {
            Node(node.Previous - 1).Next = node.Next;
        }
        else
        {
            _firstShadows = node.Next;
        }

        if (node.Next != 0)
        {
            Node(node.Next - 1).Previous = node.Previous;
        }
        else
        {
            _lastShadows = node.Previous;
        }

        ShadowNodes--;
        _space.CountersOf(node.Zone).WorkingsetNodes--;
    }

    /// <summary>Says what is wrong with the account of nodes; null for nothing.</summary>
    internal string? WrongNodes()
    {
        int listed = 0;
        for (int number = 0; _nodes is not null && number < (Slots + (1 << NodeShift) - 1) >> NodeShift; number++)
        {
            if (_nodes[number / ChunkNodes] is null)
            {
                continue;
            }

            int pages = 0;
            int shadows = 0;
            for (long slot = (long)number << NodeShift; slot < Math.Min((long)(number + 1) << NodeShift, Slots); slot++)
            {
                pages += CachedPage(slot) >= 0 ? 1 : 0;
                shadows += ShadowOf(slot) != 0 ? 1 : 0;
            }

            SwapCacheNode node = Node(number);
            listed += node.IsListed ? 1 : 0;
            if (node.Pages != pages || node.Shadows != shadows || node.IsListed != (pages == 0 && shadows != 0))
            {
                return $"node {number} of the swap cache's tree counts {node.Pages} pages and {node.Shadows} shadows ({(node.IsListed ? "" : "not ")}on the list), but has {pages} and {shadows}";
            }
        }

        return listed == ShadowNodes ? null : $"{ShadowNodes} nodes of shadows are counted, but {listed} are on the list";
    }
}
