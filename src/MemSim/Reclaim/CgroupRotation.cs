using MemSim.Lru;

namespace MemSim.Reclaim;

/// <summary>By generations: whose turn it is when the machine is short of memory (the memcg LRU, <c>struct lru_gen_memcg</c>).</summary>
/// <remarks>
/// The cgroups of a node stand in two queues, an old one and a young one; reclaim begins with the first of the old one every time, and goes on to the next only when it has not
/// enough. A cgroup that still has something stays where it is; one whose pages had to be aged goes to the young queue, and so does one with nothing to speak of, after it was asked a second time
/// at the end of the old one. When the old queue is empty the young one takes its place. So most passes see one cgroup alone, the root and its other caches seldom.
/// The kernel keeps eight queues of each kind and puts cgroups into one of them at random, for many CPUs; here there is one, and without a lock: parallel CPUs that move cgroups at once may make one of them wait longer.
/// </remarks>
/// <param name="root">The lists of the root cgroup.</param>
internal sealed class CgroupRotation(LruVec root)
{
    private long _sequence;
    private long _turns;

    /// <summary>The first of the old queue.</summary>
    public LruVec First()
    {
        LruVec? first = After(_sequence, long.MinValue);
        if (first is null)
        {
            // The last of it is gone.
            _sequence++;
            first = After(_sequence, long.MinValue);
        }

        return first ?? root;
    }

    /// <summary>The one behind it in the queue in which both were when the pass began; null for none.</summary>
    public LruVec? Next(LruVec lists, long sequence) => After(sequence, lists.Rotation.Turn);

    /// <summary>Which queue is the old one now.</summary>
    public long Sequence => _sequence;

    /// <summary>It is asked again, after the others (<c>MEMCG_LRU_TAIL</c>).</summary>
    public void MoveToTail(LruVec lists)
    {
        lists.Rotation.Turn = ++_turns;
        lists.Rotation.IsAtTail = true;
    }

    /// <summary>It is left alone until all others have had their turn (<c>MEMCG_LRU_YOUNG</c>).</summary>
    public void MakeYoung(LruVec lists)
    {
        long before = lists.Rotation.Sequence;
        lists.Rotation.Sequence = _sequence + 1;
        lists.Rotation.Turn = ++_turns;
        lists.Rotation.IsAtTail = false;
        if (before == _sequence && After(_sequence, long.MinValue) is null)
        {
            _sequence++;
        }
    }

    private LruVec? After(long sequence, long turn)
    {
        LruVec? best = null;
        for (LruVec? lists = root; lists is not null; lists = lists.NextBelow(root))
        {
            if (!lists.Rotation.IsKnown)
            {
                lists.Rotation = new CgroupPlace { IsKnown = true, Sequence = _sequence, Turn = ++_turns };
            }

            ref CgroupPlace place = ref lists.Rotation;
            if (place.Sequence == sequence && place.Turn > turn && (best is null || place.Turn < best.Rotation.Turn))
            {
                best = lists;
            }
        }

        return best;
    }
}
