using System.Numerics;

namespace MemSim;

/// <summary>How many blocks in a row each node gets by <see cref="MemoryPolicyMode.WeightedInterleave"/> (<c>/sys/kernel/mm/mempolicy/weighted_interleave/nodeN</c>).</summary>
/// <remarks>All are 1 after the boot: what firmware says about bandwidth, by which 6.16 and later compute others, a simulated machine does not have.</remarks>
public sealed class InterleaveWeights
{
    private readonly byte[] _weights;

    internal InterleaveWeights(int nodes)
    {
        _weights = new byte[nodes];
        Array.Fill(_weights, (byte)1);
    }

    /// <summary>A node's weight, 1 to 255. Writing 0 gives it the one it had after the boot, as writing an empty line does.</summary>
    /// <param name="node">The node's number.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such node.</exception>
    public byte this[int node]
    {
        get => (uint)node < (uint)_weights.Length ? _weights[node] : throw new ArgumentOutOfRangeException(nameof(node), node, "no such node");
        set
        {
            _ = this[node];
            _weights[node] = Math.Max(value, (byte)1);
        }
    }

    /// <summary>The node for the block at an index (<c>weighted_interleave_nid()</c>).</summary>
    internal int NodeAt(ulong mask, long index)
    {
        uint total = 0;
        for (ulong left = mask; left != 0; left &= left - 1)
        {
            total += WeightOf(left);
        }

        for (uint target = (uint)((ulong)index % total); target >= WeightOf(mask); mask &= mask - 1)
        {
            target -= WeightOf(mask);
        }

        return BitOperations.TrailingZeroCount(mask);
    }

    /// <summary>The weight of a node; one that does not exist counts like any other.</summary>
    internal int Of(int node) => node < _weights.Length ? _weights[node] : 1;

    private uint WeightOf(ulong mask) => (uint)Of(BitOperations.TrailingZeroCount(mask));
}
