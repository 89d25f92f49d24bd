namespace MemSim.Oom;

/// <summary>What kept a request from using all memory (<c>enum oom_constraint</c>).</summary>
internal enum OomConstraint
{
    /// <summary>Nothing: the machine is out of memory.</summary>
    None,

    /// <summary>The cpuset of the task.</summary>
    Cpuset,

    /// <summary>A memory policy.</summary>
    MemoryPolicy,

    /// <summary>The limit of a memory cgroup.</summary>
    Cgroup,
}
