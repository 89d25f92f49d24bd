using System.Diagnostics;

namespace MemSim.HugePages;

/// <summary>Huge pages of a node that are partly unmapped, oldest first (<c>struct deferred_split</c>): split when memory runs short.</summary>
internal sealed class DeferredSplits(Node node)
{
    private readonly SortedDictionary<long, int> _queue = [];
    private readonly Dictionary<int, long> _places = [];
    private long _next;

    public Node Node { get; } = node;

    public int Count => _places.Count;

    public bool Holds(int head) => _places.ContainsKey(head);

    /// <returns>False when the page waits already.</returns>
    public bool Add(int head)
    {
        if (!_places.TryAdd(head, _next))
        {
            return false;
        }

        _queue.Add(_next++, head);
        Debug.Assert(_queue.Count == _places.Count, "queue and places have the same pages");
        return true;
    }

    /// <returns>Whether it was there.</returns>
    public bool Remove(int head)
    {
        bool removed = _places.Remove(head, out long place) && _queue.Remove(place);
        Debug.Assert(_queue.Count == _places.Count, "queue and places have the same pages");
        return removed;
    }

    /// <summary>The oldest pages; they stay in the queue until they are split.</summary>
    public int[] Take(long want)
    {
        int[] heads = new int[Math.Min(want, Count)];
        int taken = 0;
        foreach (int head in _queue.Values)
        {
            if (taken == heads.Length)
            {
                break;
            }

            heads[taken++] = head;
        }

        return heads;
    }
}
