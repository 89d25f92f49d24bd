namespace MemSim.Reclaim.Oom;

/// <summary>What kept a request from using all memory (<c>enum oom_constraint</c>).</summary>
internal enum OomConstraint
{
    /// <summary>Nothing: the machine is out of memory.</summary>
    None,

    /// <summary>The nodes that its tasks may use at all.</summary>
    CpuSet,

    /// <summary>A memory policy.</summary>
    MemoryPolicy,
}
