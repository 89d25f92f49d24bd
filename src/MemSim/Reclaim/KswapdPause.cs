namespace MemSim.Reclaim;

/// <summary>Why kswapd gave its CPU back.</summary>
internal enum KswapdPause
{
    /// <summary>It has more to do; nobody's pages are in its hands.</summary>
    None,

    /// <summary>The node is balanced: it looks again in a tenth of a second, or when it is woken.</summary>
    Doze,

    /// <summary>It sleeps until it is woken.</summary>
    Sleep,
}
