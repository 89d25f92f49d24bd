using System.Globalization;
using MemSim.Swap;

namespace MemSim;

/// <summary>A swap area: slots of a page on a device, given to pages that leave memory (<c>struct swap_info_struct</c>).</summary>
public sealed partial class SwapArea
{
    private readonly SwapSpace _space;

    internal SwapSpace Space => _space;

    internal SwapArea(SwapSpace space, ISwapBacking backing, int type, int priority, SwapDiscard discard, long slots, int clusterSlots)
    {
        _space = space;
        Backing = backing;
        Type = type;
        Priority = priority;
        Discard = discard;
        Slots = slots;
        ClusterSlots = clusterSlots;
        int chunks = (int)((slots + ChunkSlots - 1) >> ChunkShift);
        _map = new int[chunks][];
        _cache = new long[chunks][];
        _owners = new ushort[chunks][];
        _zeroes = new ulong[chunks][];
        _nodes = space.Machine.Personality.Reclaim.ReclaimsSwapShadows ? new SwapCacheNode[chunks][] : null;
        _lowest = HeaderSlots;
        _highest = slots - 1;
        _next = HeaderSlots;
        InitClusters();
    }

    /// <summary>The device's name.</summary>
    public string Name => Backing.Name;

    /// <summary>The area's number: what entries in page tables name it by.</summary>
    public int Type { get; }

    /// <summary>Areas with a higher priority are filled first; those switched on without one get -2, -3 and so on; in 7.3 all of them -1.</summary>
    public int Priority { get; internal set; }

    /// <summary>When the device is told about unused slots.</summary>
    public SwapDiscard Discard { get; }

    /// <summary>Pages that fit: all slots but the header.</summary>
    public long Pages => Slots - HeaderSlots;

    /// <summary>Slots in use.</summary>
    public long UsedPages { get; private set; }

    /// <summary>Whether slots are given out cluster by cluster for each CPU, because seeking costs nothing.</summary>
    public bool IsSolidState => Backing.IsSolidState;

    /// <summary>Slots of a cluster: as many as pages in a huge page where those can be swapped whole (64 bits), else 256.</summary>
    public int ClusterSlots { get; }

    /// <summary>Clusters of which no slot is in use; 0 for a rotating device, which has none.</summary>
    public int FreeClusters { get; private set; }

    /// <summary>Whether the area is on.</summary>
    public bool IsOn { get; internal set; }

    /// <summary>Pages read.</summary>
    public long PagesRead { get; internal set; }

    /// <summary>Pages written.</summary>
    public long PagesWritten { get; internal set; }

    /// <summary>Reads that failed.</summary>
    public long ReadErrors { get; internal set; }

    /// <summary>Writes that failed: their pages stayed in memory.</summary>
    public long WriteErrors { get; internal set; }

    internal ISwapBacking Backing { get; }

    /// <summary>Slots, header included.</summary>
    internal long Slots { get; }

    /// <summary>Whether new slots may be taken (<c>SWP_WRITEOK</c>): not while the area is being switched off.</summary>
    internal bool IsWritable { get; set; }

    /// <summary>The name, use and priority.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Name}: {UsedPages} of {Pages} pages used, priority {Priority}");
}
