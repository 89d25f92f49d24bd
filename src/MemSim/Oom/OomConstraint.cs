namespace MemSim.Oom;

/// <summary>What kept a request from using all memory (<c>enum oom_constraint</c>). There are no cpusets here, so three of the kernel's four are left.</summary>
internal enum OomConstraint
{
    /// <summary>Nothing: the machine is out of memory.</summary>
    None,

    /// <summary>A memory policy.</summary>
    MemoryPolicy,

    /// <summary>The limit of a memory cgroup.</summary>
    Cgroup,
}
