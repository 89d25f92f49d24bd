namespace MemSim.Reports;

/// <summary>Why a request failed, in one word.</summary>
public enum Verdict
{
    /// <summary>Cannot be said: the report lacks what the answer needs.</summary>
    Undecidable,

    /// <summary>Too few pages are free.</summary>
    Short,

    /// <summary>Enough pages are free, but in blocks that are too small.</summary>
    Fragmented,

    /// <summary>What is free is reserved for atomic requests of higher orders.</summary>
    HighAtomic,

    /// <summary>What is free belongs to CMA.</summary>
    Cma,

    /// <summary>What is free is kept back from requests that could use higher zones (<c>lowmem_reserve</c>).</summary>
    Reserve,

    /// <summary>Memory is free on nodes that a policy or cpuset forbids.</summary>
    Policy,

    /// <summary>The limit of a memory cgroup, not memory.</summary>
    Limit,

    /// <summary>The printed state lets the request pass.</summary>
    Passes,
}
