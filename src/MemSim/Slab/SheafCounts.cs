namespace MemSim;

/// <summary>A cache's sheaves in numbers: what they hold now, and how often what happened (the kernel's <c>CONFIG_SLUB_STATS</c> names in brackets).</summary>
public record struct SheafCounts
{
    /// <summary>Free objects in the CPUs' main and spare sheaves.</summary>
    public long ObjectsOfCpus { get; internal set; }

    /// <summary>Free objects in full sheaves of the nodes' barns.</summary>
    public long ObjectsInBarns { get; internal set; }

    /// <summary>Full sheaves in the nodes' barns.</summary>
    public int FullInBarns { get; internal set; }

    /// <summary>Empty sheaves in the nodes' barns.</summary>
    public int EmptyInBarns { get; internal set; }

    /// <summary>Objects given to <see cref="CpuSlabCalls.KfreeRcu"/> that lie in sheaves until their grace period ends.</summary>
    public long ObjectsAwaitingRcu { get; internal set; }

    /// <summary>Objects in sheaves that are lent (<see cref="CpuSlabCalls.PrefillSheaf"/>).</summary>
    public long ObjectsLent { get; internal set; }

    /// <summary>Sheaves filled from slabs (<c>sheaf_refill</c> counts their objects).</summary>
    public long Refills { get; internal set; }

    /// <summary>Sheaves emptied to slabs (<c>sheaf_flush</c> counts their objects).</summary>
    public long Flushes { get; internal set; }

    /// <summary>Main sheaf and spare exchanged.</summary>
    public long Swaps { get; internal set; }

    /// <summary>Full sheaves had from a barn (<c>barn_get</c>).</summary>
    public long BarnGets { get; internal set; }

    /// <summary>Times a barn had no full sheaf (<c>barn_get_fail</c>).</summary>
    public long BarnGetFails { get; internal set; }

    /// <summary>Full sheaves given to a barn (<c>barn_put</c>).</summary>
    public long BarnPuts { get; internal set; }

    /// <summary>Times a barn took no further full sheaf (<c>barn_put_fail</c>).</summary>
    public long BarnPutFails { get; internal set; }
}
