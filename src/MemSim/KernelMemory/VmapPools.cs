namespace MemSim.KernelMemory;

/// <summary>Freed address ranges that CPUs keep for requests of the same length, so that they need not search the common tree (<c>struct vmap_node</c> of 6.9 and later).</summary>
/// <remarks>A range returns to the pool of the CPU that asked for it, after the flush; each flush gives a quarter of every list back to everybody.</remarks>
internal sealed class VmapPools
{
    /// <summary>Longer ranges are not kept (<c>MAX_VA_SIZE_PAGES</c>).</summary>
    private const int LongestPages = 256;

    /// <summary>By node and length; the front of the kernel's list is the end of ours.</summary>
    private readonly List<ulong>[][] _kept;

    /// <summary>Which node a range that somebody has, or that is put aside, came from.</summary>
    private readonly Dictionary<ulong, int> _nodes = [];

    public VmapPools(int nodes)
    {
        _kept = new List<ulong>[nodes][];
        for (int i = 0; i < nodes; i++)
        {
            _kept[i] = new List<ulong>[LongestPages];
        }
    }

    /// <summary>Takes the front of the list of this length, if it is aligned; otherwise it goes to the back.</summary>
    public bool TryTake(int cpu, ulong bytes, ulong align, out ulong start)
    {
        start = 0;
        int node = cpu % _kept.Length;
        int list = ListOf(bytes);
        if (list >= LongestPages || _kept[node][list] is not { Count: > 0 } starts)
        {
            return false;
        }

        start = starts[^1];
        starts.RemoveAt(starts.Count - 1);
        if ((start & (align - 1)) != 0)
        {
            starts.Insert(0, start);
            return false;
        }

        _nodes[start] = node;
        return true;
    }

    /// <summary>Notes whose a range from the common tree is.</summary>
    public void Assign(ulong start, int cpu) => _nodes[start] = cpu % _kept.Length;

    /// <summary>The range goes back to the common tree.</summary>
    public void Forget(ulong start) => _nodes.Remove(start);

    /// <summary>Keeps a range that was flushed, if its length has a list and somebody is known to have asked for it.</summary>
    public bool TryKeep(AddressRange range)
    {
        int list = ListOf(range.End - range.Start);
        if (list >= LongestPages || !_nodes.Remove(range.Start, out int node))
        {
            return false;
        }

        (_kept[node][list] ??= []).Add(range.Start);
        return true;
    }

    /// <summary>Takes a quarter of each list, or everything, from the front.</summary>
    public IEnumerable<AddressRange> Decay(bool everything)
    {
        foreach (List<ulong>[] lists in _kept)
        {
            for (int list = 0; list < LongestPages; list++)
            {
                List<ulong>? starts = lists[list];
                int give = starts is null ? 0 : everything ? starts.Count : starts.Count / 4;
                for (; give > 0; give--)
                {
                    ulong start = starts![^1];
                    starts.RemoveAt(starts.Count - 1);
                    yield return new AddressRange(start, start + BytesOf(list));
                }
            }
        }
    }

    /// <summary>What is kept, in address order.</summary>
    public List<AddressRange> ToList() =>
        [.. _kept.SelectMany(lists => lists.SelectMany((starts, list) => (starts ?? []).Select(s => new AddressRange(s, s + BytesOf(list))))).OrderBy(r => r.Start)];

    private static int ListOf(ulong bytes) => (int)Math.Min((bytes - 1) >> PageGeometry.PageShift, LongestPages);

    private static ulong BytesOf(int list) => (ulong)(list + 1) << PageGeometry.PageShift;
}
