namespace MemSim.Reports.Kernels;

/// <summary>Since when there is what one could turn.</summary>
internal static class Knobs
{
    private static readonly Dictionary<string, KernelRelease> Since = new(StringComparer.Ordinal)
    {
        ["min_free_kbytes"] = new(2, 6, 4),
        ["lowmem_reserve_ratio"] = new(2, 6, 12),
        ["drop_caches"] = new(2, 6, 16),
        ["percpu_pagelist_fraction"] = new(2, 6, 16),
        ["compaction"] = new(2, 6, 35),
        ["cma"] = new(3, 5),
        ["watermark_scale_factor"] = new(4, 6),
        ["kvmalloc"] = new(4, 12),
        ["__GFP_RETRY_MAYFAIL"] = new(4, 13),
        ["watermark_boost_factor"] = new(5, 0),
        ["compaction_proactiveness"] = new(5, 9),
        ["percpu_pagelist_high_fraction"] = new(5, 14),
    };

    /// <summary>Whether a kernel of some range can have a knob.</summary>
    public static bool Exists(string knob, KernelRange kernels) => kernels.To >= Since[knob];
}
