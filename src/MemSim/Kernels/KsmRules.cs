namespace MemSim.Kernels;

/// <summary>Merging of equal pages (KSM).</summary>
public sealed record KsmRules
{
    /// <summary>Whether a page whose bytes changed since the last look is not even searched for among merged ones, and a page of zeroes is looked for before those (6.11); before, the search comes first.</summary>
    public bool ChecksumsFirst { get; init; }

    /// <summary>Whether a chain of which one page is left ends as soon as a search comes by (6.11); before, only when chains are pruned.</summary>
    public bool EndsSingleChains { get; init; }

    /// <summary>Whether pages that were looked at in vain are passed over more and more often (<c>smart_scan</c>, 6.7).</summary>
    public bool SkipsPages { get; init; }

    /// <summary>Whether pages of zeroes that were merged with the kernel's are counted, and taken apart again with the others (6.6).</summary>
    public bool CountsZeroPages { get; init; }

    /// <summary>Whether a process can have all its areas merged (<c>PR_SET_MEMORY_MERGE</c>, 6.4).</summary>
    public bool MergesProcesses { get; init; }

    /// <summary>Whether ksmd can choose <c>pages_to_scan</c> itself (<c>advisor_mode</c>, 6.8).</summary>
    public bool HasAdvisor { get; init; }

    /// <summary>Whether <c>/proc/PID/ksm_stat</c> says if areas may be merged (<c>ksm_merge_any</c>, <c>ksm_mergeable</c>; seen in 6.18).</summary>
    public bool TellsMergeable { get; init; }
}
