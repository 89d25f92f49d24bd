namespace MemSim.Lru;

/// <summary>The place of a cgroup's lists in the order in which reclaim takes them (<c>lrugen.gen</c>, <c>lrugen.seg</c>).</summary>
internal struct CgroupPlace
{
    /// <summary>Whether it has one: new cgroups come last.</summary>
    public bool IsKnown;

    /// <summary>Whether it was put to the end because it was spared, or had nothing.</summary>
    public bool IsAtTail;

    /// <summary>The queue.</summary>
    public long Sequence;

    /// <summary>The place in it: smaller ones come first.</summary>
    public long Turn;
}
