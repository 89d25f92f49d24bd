namespace MemSim;

/// <summary>Where a task's memory should come from (<c>set_mempolicy()</c>).</summary>
public enum MemoryPolicyMode
{
    /// <summary>One node first, then the others by distance (<c>MPOL_PREFERRED</c>).</summary>
    Preferred,

    /// <summary>Only the given nodes (<c>MPOL_BIND</c>).</summary>
    Bind,

    /// <summary>The given nodes in turn, one block each (<c>MPOL_INTERLEAVE</c>).</summary>
    Interleave,

    /// <summary>The given nodes in turn, each as many blocks as its weight says (<c>MPOL_WEIGHTED_INTERLEAVE</c>, Linux 6.9).</summary>
    WeightedInterleave,
}

/// <summary>A NUMA memory policy (<c>struct mempolicy</c>).</summary>
public sealed class MemoryPolicy
{
    private int _lastInterleaved = -1;
    private int _weightLeft;

    private MemoryPolicy(MemoryPolicyMode mode, ulong nodeMask)
    {
        Mode = mode;
        NodeMask = nodeMask;
    }

    /// <summary>The mode.</summary>
    public MemoryPolicyMode Mode { get; }

    /// <summary>The nodes, one bit each.</summary>
    public ulong NodeMask { get; }

    /// <summary>Prefers a node.</summary>
    /// <param name="node">The node's number.</param>
    public static MemoryPolicy Preferred(int node) => new(MemoryPolicyMode.Preferred, Mask([node]));

    /// <summary>Allows only some nodes.</summary>
    /// <param name="nodes">Their numbers.</param>
    public static MemoryPolicy Bind(params ReadOnlySpan<int> nodes) => new(MemoryPolicyMode.Bind, Mask(nodes));

    /// <summary>Spreads allocations over nodes.</summary>
    /// <param name="nodes">Their numbers.</param>
    public static MemoryPolicy Interleave(params ReadOnlySpan<int> nodes) => new(MemoryPolicyMode.Interleave, Mask(nodes));

    /// <summary>Spreads allocations over nodes, in proportion to <see cref="InterleaveWeights"/>.</summary>
    /// <param name="nodes">Their numbers.</param>
    public static MemoryPolicy WeightedInterleave(params ReadOnlySpan<int> nodes) => new(MemoryPolicyMode.WeightedInterleave, Mask(nodes));

    /// <summary>Whether it spreads.</summary>
    internal bool Spreads => Mode is MemoryPolicyMode.Interleave or MemoryPolicyMode.WeightedInterleave;

    internal int FirstNode => System.Numerics.BitOperations.TrailingZeroCount(NodeMask);

    /// <summary>The next node in turn; a weight's worth of them is the same one (<c>weighted_interleave_nodes()</c>).</summary>
    internal int NextInterleaved(InterleaveWeights weights)
    {
        if (Mode == MemoryPolicyMode.WeightedInterleave)
        {
            _weightLeft = (_weightLeft > 0 ? _weightLeft : weights.Of(NextNode())) - 1;
            return _lastInterleaved;
        }

        return NextNode();
    }

    private int NextNode()
    {
        ulong after = _lastInterleaved >= 63 ? 0 : NodeMask >> (_lastInterleaved + 1) << (_lastInterleaved + 1);
        _lastInterleaved = System.Numerics.BitOperations.TrailingZeroCount(after != 0 ? after : NodeMask);
        return _lastInterleaved;
    }

    /// <summary>The node for the page at an index, of those that have memory (<c>offset_il_node()</c>).</summary>
    internal int InterleavedAt(long index, ulong memoryNodes, InterleaveWeights weights)
    {
        ulong mask = (NodeMask & memoryNodes) != 0 ? NodeMask & memoryNodes : NodeMask;
        if (Mode == MemoryPolicyMode.WeightedInterleave)
        {
            return weights.NodeAt(mask, index);
        }

        for (long skip = (long)((ulong)index % (uint)System.Numerics.BitOperations.PopCount(mask)); skip > 0; skip--)
        {
            mask &= mask - 1;
        }

        return System.Numerics.BitOperations.TrailingZeroCount(mask);
    }

    private static ulong Mask(ReadOnlySpan<int> nodes)
    {
        ulong mask = 0;
        foreach (int node in nodes)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(node, nameof(nodes));
            ArgumentOutOfRangeException.ThrowIfGreaterThan(node, 63, nameof(nodes));
            mask |= 1UL << node;
        }

        return mask != 0 ? mask : throw new ArgumentException("a memory policy needs at least one node", nameof(nodes));
    }
}
