using System.Runtime.CompilerServices;

namespace MemSim.Lru;

/// <content>How many pages are on the lists, of whom.</content>
internal sealed partial class LruVec
{
    private readonly List<LruVec> _children = [];

    /// <summary>Own pages by zone and list, once there are cgroups; null while the node's counters say it all.</summary>
    private long[]? _own;

    /// <summary>The number of the cgroup; 0 is the root.</summary>
    public int CgroupId { get; init; }

    /// <summary>The lists of the same node of the cgroup above; null for the root's.</summary>
    public LruVec? Parent { get; init; }

    /// <summary>Those of the cgroups below, in the order they were made.</summary>
    public IReadOnlyList<LruVec> Children => _children;

    /// <summary>What came back and what was used of evicted pages, own and of cgroups below that are gone.</summary>
    public LruVecCounters Counters { get; } = new();

    /// <summary>Dirty pages come round again before they are written (<c>LRUVEC_CONGESTED</c>).</summary>
    public bool Congested { get; set; }

    /// <summary><c>workingset_activate_anon</c> when reclaim last ended.</summary>
    public long RefaultsAnon { get; private set; }

    /// <summary><c>workingset_activate_file</c> when reclaim last ended.</summary>
    public long RefaultsFile { get; private set; }

    /// <summary>Where the last walk over the tree below stopped because it had enough; null at its end.</summary>
    public LruVec? WalkPosition { get; set; }

    /// <summary>Pages on a list, those of the cgroups below included (<c>lruvec_page_state()</c>).</summary>
    public long Size(LruList list)
    {
        if (Parent is not null)
        {
            return SizeBelow(list);
        }

        return list switch
        {
            LruList.InactiveAnon => _counters.InactiveAnon,
            LruList.ActiveAnon => _counters.ActiveAnon,
            LruList.InactiveFile => _counters.InactiveFile,
            LruList.ActiveFile => _counters.ActiveFile,
            _ => _counters.Unevictable,
        };
    }

    /// <summary>Own pages of the zones up to an index on a list (<c>lruvec_lru_size()</c>).</summary>
    public long Size(LruList list, int highestZoneIndex)
    {
        long pages = 0;
        IReadOnlyList<Zone> zones = Node.Zones;
        for (int i = 0; i <= highestZoneIndex && i < zones.Count; i++)
        {
            pages += zones[i].ManagedPages == 0 ? 0 : _own is { } own ? own[(i * ListHeads) + (int)list] : Size(zones[i], list);
        }

        return pages;
    }

    /// <summary>Evicted pages that came back soon and became active, in the cgroups below too: what reclaim compares with when it last ended.</summary>
    public long WorkingsetActivated(bool file)
    {
        if (Parent is null)
        {
            return file ? _counters.WorkingsetActivateFile : _counters.WorkingsetActivateAnon;
        }

        long pages = Counters.Activated(file);
        foreach (LruVec child in _children)
        {
            pages += child.WorkingsetActivated(file);
        }

        return pages;
    }

    /// <summary>Remembers how often evicted pages were missed, so that the next run sees whether it happened again (<c>snapshot_refaults()</c>).</summary>
    public void SnapshotRefaults()
    {
        RefaultsAnon = WorkingsetActivated(file: false);
        RefaultsFile = WorkingsetActivated(file: true);
    }

    /// <summary>Changes the counters of a list. The caller holds the lock.</summary>
    public void Count(Zone zone, LruList list, long pages)
    {
        if (_own is { } own)
        {
            own[(zone.Index * ListHeads) + (int)list] += pages;
        }

        ZoneCounters z = zone.Counters;
        switch (list)
        {
            case LruList.InactiveAnon:
                _counters.InactiveAnon += pages;
                z.InactiveAnon += pages;
                break;
            case LruList.ActiveAnon:
                _counters.ActiveAnon += pages;
                z.ActiveAnon += pages;
                break;
            case LruList.InactiveFile:
                _counters.InactiveFile += pages;
                z.InactiveFile += pages;
                break;
            case LruList.ActiveFile:
                _counters.ActiveFile += pages;
                z.ActiveFile += pages;
                break;
            default:
                _counters.Unevictable += pages;
                z.Unevictable += pages;
                break;
        }
    }

    /// <summary>From here on these lists count for themselves: the root's begin with what the node has.</summary>
    public void BeginOwnSizes()
    {
        _own = new long[Node.Zones.Count * ListHeads];
        for (int i = 0; i < Node.Zones.Count && Parent is null; i++)
        {
            for (LruList list = LruList.InactiveAnon; list <= LruList.Unevictable; list++)
            {
                _own[(i * ListHeads) + (int)list] = Size(Node.Zones[i], list);
            }
        }
    }

    /// <summary>Takes a new cgroup's lists in.</summary>
    public void AddChild(LruVec child) => _children.Add(child);

    /// <summary>Whether their cgroup is gone; whoever still has them finds nothing there.</summary>
    public bool IsGone { get; private set; }

    /// <summary>Lets go of the lists of a cgroup that is gone: what happened in it stays counted here.</summary>
    public void RemoveChild(LruVec child)
    {
        child.IsGone = true;
        _ = _children.Remove(child);
        Counters.Add(child.Counters);
    }

    /// <summary>What was counted here and below.</summary>
    public LruVecCounters SumBelow()
    {
        LruVecCounters sum = new();
        for (LruVec? vec = this; vec is not null; vec = vec.NextBelow(this))
        {
            sum.Add(vec.Counters);
        }

        return sum;
    }

    /// <summary>The next lists in the order in which a tree is walked: first a cgroup, then those below it (<c>mem_cgroup_iter()</c>).</summary>
    /// <param name="root">The top of the walk.</param>
    /// <returns>Null at the end.</returns>
    public LruVec? NextBelow(LruVec root)
    {
        if (_children.Count != 0)
        {
            return _children[0];
        }

        for (LruVec vec = this; vec != root && vec.Parent is { } parent; vec = parent)
        {
            int next = parent._children.IndexOf(vec) + 1;
            if (next < parent._children.Count)
            {
                return parent._children[next];
            }
        }

        return null;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private long SizeBelow(LruList list)
    {
        long pages = 0;
        for (int zone = 0; zone < Node.Zones.Count; zone++)
        {
            pages += _own![(zone * ListHeads) + (int)list];
        }

        foreach (LruVec child in _children)
        {
            pages += child.SizeBelow(list);
        }

        return pages;
    }
}
