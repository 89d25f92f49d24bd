
namespace MemSim.HugePages;

/// <summary>Huge pages of a node that are partly unmapped, oldest first (<c>struct deferred_split</c>): split when memory runs short.</summary>
internal sealed class DeferredSplits(Node node)
{
    private readonly LinkedList<int> _queue = [];
    private readonly Dictionary<int, LinkedListNode<int>> _places = [];

    public Node Node { get; } = node;

    public int Count => _places.Count;

    /// <returns>False when the page waits already.</returns>
    public bool Add(int head)
    {
        if (_places.ContainsKey(head))
        {
            return false;
        }

        _places.Add(head, _queue.AddLast(head));
        return true;
    }

    public void Remove(int head)
    {
        if (_places.Remove(head, out LinkedListNode<int>? place))
        {
            _queue.Remove(place);
        }
    }

    /// <summary>The oldest pages; they stay in the queue until they are split.</summary>
    public int[] Take(long want)
    {
        int[] heads = new int[Math.Min(want, Count)];
        LinkedListNode<int>? place = _queue.First;
        for (int i = 0; i < heads.Length; i++, place = place!.Next)
        {
            heads[i] = place!.Value;
        }

        return heads;
    }
}
