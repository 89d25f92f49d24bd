namespace MemSim;

/// <summary>When a swap area tells its device which slots are unused (<c>swapon --discard</c>).</summary>
[Flags]
public enum SwapDiscard
{
    /// <summary>Never.</summary>
    None = 0,

    /// <summary>The whole area, when it is switched on (<c>SWAP_FLAG_DISCARD_ONCE</c>).</summary>
    Once = 1,

    /// <summary>Clusters, when their last slot is freed and before they are used again (<c>SWAP_FLAG_DISCARD_PAGES</c>).</summary>
    Pages = 2,
}
