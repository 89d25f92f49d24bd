using System.Runtime.CompilerServices;
using MemSim.Pages;
using MemSim.Zones;

namespace MemSim;

/// <content>Nodes and zones.</content>
public sealed partial class Machine
{
    private readonly List<Node> _nodes = [];
    private readonly List<Zone> _zones = [];
    private readonly List<PresentRange> _presentRanges = [];

    /// <summary>The nodes, ascending by number.</summary>
    public IReadOnlyList<Node> Nodes => _nodes;

    /// <summary>All zones of all nodes, empty ones included, by node and kernel index.</summary>
    public IReadOnlyList<Zone> Zones => _zones;

    /// <summary>log2 of the pages in a page block.</summary>
    internal int PageblockOrder { get; }

    /// <summary>The sysctls and derived figures.</summary>
    internal MachineSettings Settings { get; set; }

    /// <summary>A copy of <c>watermark_boost_factor</c> for the allocator.</summary>
    internal int WatermarkBoostFactor { get; set; }

    /// <summary>A copy of <c>zone_reclaim_mode</c> for the allocator.</summary>
    internal int ZoneReclaimMode { get; set; }

    /// <summary>Whether <c>vm.defrag_mode</c> is on: nobody mixes types in page blocks.</summary>
    internal bool DefragMode { get; set; }

    internal ulong NodeMask => _nodes.Aggregate(0UL, (mask, node) => mask | (1UL << node.Id));

    /// <summary>The node with a number.</summary>
    /// <param name="id">The number.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is none.</exception>
    public Node GetNode(int id) => NodeOrDefault(id) ?? throw new ArgumentOutOfRangeException(nameof(id), id, "the machine has no such node");

    internal Node? NodeOrDefault(int id)
    {
        foreach (Node node in _nodes)
        {
            if (node.Id == id)
            {
                return node;
            }
        }

        return null;
    }

    /// <summary>Whether the kernel counts a zone as high memory: HighMem, and Movable where it was cut out of HighMem.</summary>
    internal bool IsHighMemory(Zone zone) =>
        zone.Type == ZoneType.HighMem
        || (zone.Type == ZoneType.Movable && zone.Node.Zones.Any(z => z.Type == ZoneType.HighMem && z.IsPopulated) && Architecture.Bits == 32);

    internal Zone Owned(Zone zone) =>
        zone.Id < _zones.Count && ReferenceEquals(_zones[zone.Id], zone) ? zone : throw new ArgumentException($"{zone} belongs to another machine", nameof(zone));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Lock(Zone zone)
    {
        if (_parallel)
        {
            zone.Lock.Enter();
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Unlock(Zone zone)
    {
        if (_parallel)
        {
            zone.Lock.Exit();
        }
    }

    /// <summary>The page with a frame number (<c>pfn_to_page()</c>).</summary>
    /// <param name="pfn">The frame number.</param>
    /// <exception cref="ArgumentOutOfRangeException">No zone of the machine spans the frame.</exception>
    public Page GetPage(Pfn pfn) =>
        TryGetPage(pfn, out Page page) ? page : throw new ArgumentOutOfRangeException(nameof(pfn), pfn, "no zone of this machine has such a frame");

    /// <summary>The page with a frame number, where the machine has that frame (<c>pfn_valid()</c> and <c>pfn_to_page()</c>).</summary>
    /// <param name="pfn">The frame number.</param>
    /// <param name="page">The page, or a null page.</param>
    /// <returns>Whether the machine has the frame.</returns>
    public bool TryGetPage(Pfn pfn, out Page page)
    {
        ThrowIfDisposed();
        bool exists = (ulong)pfn.Value < (ulong)_memMap.Frames && ZoneOf((int)pfn.Value) is not null;
        page = exists ? new Page(this, (int)pfn.Value) : default;
        return exists;
    }

    /// <summary>The page behind an address of the direct map (<c>virt_addr_valid()</c> and <c>virt_to_page()</c>).</summary>
    /// <param name="address">The address.</param>
    /// <param name="page">The page, or a null page.</param>
    /// <returns>Whether the address belongs to the direct map and to memory that exists.</returns>
    public bool TryGetPage(VirtualAddress address, out Page page)
    {
        page = default;
        return address.Value >= Architecture.PageOffset && address.Value < DirectMapEnd.Value
            && TryGetPage(new Pfn((long)((address.Value - Architecture.PageOffset + _directMapPhysicalBase) >> PageGeometry.PageShift)), out page);
    }

    /// <summary>Frames that exist, ascending.</summary>
    internal IReadOnlyList<PresentRange> PresentRanges => _presentRanges;

    internal void AddPresentRange(PresentRange range)
    {
        _presentRanges.Add(range);
        _presentRanges.Sort((a, b) => a.Start.CompareTo(b.Start));
    }

    internal Zone? ZoneOf(int pfn)
    {
        int low = 0;
        int high = _presentRanges.Count - 1;
        while (low <= high)
        {
            int middle = (low + high) / 2;
            PresentRange range = _presentRanges[middle];
            if (pfn < range.Start)
            {
                high = middle - 1;
            }
            else if (pfn >= range.End)
            {
                low = middle + 1;
            }
            else
            {
                return range.Zone;
            }
        }

        return null;
    }

    /// <summary>The first frame of the block, allocated or free, that holds a frame; -1 when none does.</summary>
    internal int BlockHeadOf(int pfn, out int order)
    {
        for (int candidate = 0; candidate <= PageGeometry.MaxOrder; candidate++)
        {
            int head = pfn & ~((1 << candidate) - 1);
            ref PageFrame frame = ref FrameOf(head);
            bool isHead = frame.RefCount != 0 || frame.IsBuddy || frame.IsPcp;
            int size = frame.IsBuddy ? frame.Private : frame.IsPcp ? PcpOrder(head) : frame.Order;
            if (isHead && size >= candidate)
            {
                order = size;
                return head;
            }
        }

        order = 0;
        return -1;
    }

    /// <summary>The order of a block in a per-CPU list, from the list it is on.</summary>
    internal int PcpOrder(int pfn)
    {
        int list = pfn;
        while (list < _memMap.Frames)
        {
            list = _frames[list].Next;
        }

        foreach (Zone zone in _zones)
        {
            foreach (PerCpuPages pcp in zone.Pcp)
            {
                int index = list - pcp.FirstHead;
                if ((uint)index < PerCpuPages.Lists)
                {
                    return PerCpuPages.ListOrder(index, PageblockOrder);
                }
            }
        }

        return 0;
    }
}
