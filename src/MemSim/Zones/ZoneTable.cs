using MemSim.Pages;
using MemSim.Statistics;

namespace MemSim.Zones;

/// <summary>A machine's nodes, zones and the ranges of frames that exist, and what the allocator asks of the sysctls. <c>Machine.ZoneTable</c>.</summary>
internal sealed class ZoneTable
{
    private readonly Machine _machine;
    private readonly List<Node> _nodes = [];
    private readonly List<Zone> _zones = [];
    private readonly List<PresentRange> _presentRanges = [];
    private readonly List<OfflineRange> _offlineRanges = [];

    public ZoneTable(Machine machine, int pageblockOrder, bool mobilityGrouping, bool refusesIllegalFlags)
    {
        _machine = machine;
        PageblockOrder = pageblockOrder;
        MobilityGrouping = mobilityGrouping;
        RefusesIllegalFlags = refusesIllegalFlags;
    }

    /// <summary>The nodes, ascending by number.</summary>
    public IReadOnlyList<Node> Nodes => _nodes;

    /// <summary>All zones of all nodes, empty ones included, by node and kernel index.</summary>
    public IReadOnlyList<Zone> Zones => _zones;

    /// <summary>log2 of the pages in a page block.</summary>
    public int PageblockOrder { get; }

    /// <summary>Whether free lists are kept apart by migrate type; off on machines with fewer than five page blocks.</summary>
    public bool MobilityGrouping { get; }

    /// <summary>Whether contradictory zone flags are a bug or mean ZONE_DMA.</summary>
    public bool RefusesIllegalFlags { get; }

    /// <summary>How many blocks in a row each node gets where memory is spread by weights.</summary>
    public InterleaveWeights InterleaveWeights { get; private set; } = new(0);

    public void Add(Node node)
    {
        _nodes.Add(node);
        InterleaveWeights = new InterleaveWeights(_nodes.Max(n => n.Id) + 1);
    }

    public void Add(Zone zone) => _zones.Add(zone);

    public Page Owned(Page page) => page.IsNull || page.BelongsTo(_machine) ? page : throw new ArgumentException($"{page} belongs to another machine", nameof(page));

    public Node Owned(Node node) => _nodes.Contains(node) ? node : throw new ArgumentException($"{node} belongs to another machine", nameof(node));

    /// <summary>A copy of <c>watermark_boost_factor</c> for the allocator.</summary>
    public int WatermarkBoostFactor { get; set; }

    /// <summary>A copy of <c>zone_reclaim_mode</c> for the allocator.</summary>
    public int ZoneReclaimMode { get; set; }

    /// <summary>Whether <c>vm.defrag_mode</c> is on: nobody mixes types in page blocks.</summary>
    public bool DefragMode { get; set; }

    public ulong NodeMask => _nodes.Aggregate(0UL, (mask, node) => mask | (1UL << node.Id));

    public Node? NodeOrDefault(int id)
    {
        // Nearly always they are numbered without gaps.
        if ((uint)id < (uint)_nodes.Count && _nodes[id] is { } likely && likely.Id == id)
        {
            return likely;
        }

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
    public bool IsHighMemory(Zone zone) =>
        zone.Type == ZoneType.HighMem
        || (zone.Type == ZoneType.Movable && zone.Node.Zones.Any(z => z.Type == ZoneType.HighMem && z.IsPopulated) && _machine.Architecture.Bits == 32);

    public Zone Owned(Zone zone) =>
        zone.Id < _zones.Count && ReferenceEquals(_zones[zone.Id], zone) ? zone : throw new ArgumentException($"{zone} belongs to another machine", nameof(zone));

    /// <summary>Frames that exist, ascending.</summary>
    public IReadOnlyList<PresentRange> PresentRanges => _presentRanges;

    public void AddPresentRange(PresentRange range)
    {
        _presentRanges.Add(range);
        _presentRanges.Sort((a, b) => a.Start.CompareTo(b.Start));
    }

    /// <summary>Whether some frame of a range exists.</summary>
    public bool HasMemory(long start, long end)
    {
        int low = 0;
        int high = _presentRanges.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            (low, high) = _presentRanges[middle].End <= start ? (middle + 1, high) : (low, middle);
        }

        return low < _presentRanges.Count && _presentRanges[low].Start < end;
    }

    /// <summary>Whether nobody can have used any frame of the block of the largest order that begins at one: all of it was free since the boot, the allocator never gets it, or it does not exist.</summary>
    public bool IsNeverUsed(int first)
    {
        const int pages = 1 << PageGeometry.MaxOrder;
        FrameTable frames = _machine.Frames;
        return frames.Untouched.Covers(first) || (frames.ReservedRange(first) is var (_, end) && end - first >= pages) || !HasMemory(first, first + pages);
    }

    /// <summary>Whether the machine booted, rather than being made in a state.</summary>
    public bool HasBooted { get; set; }

    /// <summary>Pages came to the zones as free ones, or left them: on a machine that booted, what the zones manage counts as freed already (<see cref="VmEvent.PagesFreed"/>).</summary>
    public void CountManaged(long pages)
    {
        if (pages > 0 != HasBooted)
        {
            _machine.Events.Count(VmEvent.PagesFreed, Math.Abs(pages));
        }
    }

    /// <summary>Memory that no zone has because it is offline, ascending.</summary>
    public IReadOnlyList<OfflineRange> OfflineRanges => _offlineRanges;

    /// <summary>Frames come to a zone: those of an offline range leave it.</summary>
    public void MakePresent(PresentRange range)
    {
        CutOffline(range.Start, range.End);
        long start = range.Start;
        long end = range.End;
        for (int i = _presentRanges.Count - 1; i >= 0; i--)
        {
            PresentRange other = _presentRanges[i];
            if (other.Zone == range.Zone && (other.End == start || other.Start == end))
            {
                start = Math.Min(start, other.Start);
                end = Math.Max(end, other.End);
                _presentRanges.RemoveAt(i);
            }
        }

        AddPresentRange(new PresentRange(start, end, range.Zone));
    }

    /// <summary>Frames leave their zone but stay memory.</summary>
    public void MakeOffline(OfflineRange range)
    {
        for (int i = _presentRanges.Count - 1; i >= 0; i--)
        {
            PresentRange other = _presentRanges[i];
            if (other.End <= range.Start || other.Start >= range.End)
            {
                continue;
            }

            _presentRanges.RemoveAt(i);
            if (other.Start < range.Start)
            {
                _presentRanges.Add(other with { End = range.Start });
            }

            if (other.End > range.End)
            {
                _presentRanges.Add(other with { Start = range.End });
            }
        }

        _presentRanges.Sort((a, b) => a.Start.CompareTo(b.Start));
        _offlineRanges.Add(range);
        _offlineRanges.Sort((a, b) => a.Start.CompareTo(b.Start));
    }

    /// <summary>Frames of offline memory are online, or gone.</summary>
    public void CutOffline(long from, long to)
    {
        for (int i = _offlineRanges.Count - 1; i >= 0; i--)
        {
            OfflineRange range = _offlineRanges[i];
            if (range.End <= from || range.Start >= to)
            {
                continue;
            }

            _offlineRanges.RemoveAt(i);
            if (range.Start < from)
            {
                _offlineRanges.Add(range with { End = from });
            }

            if (range.End > to)
            {
                _offlineRanges.Add(range with { Start = to });
            }
        }

        _offlineRanges.Sort((a, b) => a.Start.CompareTo(b.Start));
    }

    /// <summary>Whether there is memory, online or not.</summary>
    public bool HasMemoryAt(long pfn)
    {
        if (pfn < _machine.Frames.Count && ZoneOf((int)pfn) is not null)
        {
            return true;
        }

        foreach (OfflineRange range in _offlineRanges)
        {
            if (pfn >= range.Start && pfn < range.End)
            {
                return true;
            }
        }

        return false;
    }

    public Zone? ZoneOf(int pfn)
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
    public int BlockHeadOf(int pfn, out int order)
    {
        _machine.Frames.Untouched.Touch(pfn);
        for (int candidate = 0; candidate <= PageGeometry.MaxOrder; candidate++)
        {
            int head = pfn & ~((1 << candidate) - 1);
            ref PageFrame frame = ref _machine.Frames.FrameOf(head);
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
    public int PcpOrder(int pfn)
    {
        int list = pfn;
        while (list < _machine.Frames.Count)
        {
            list = _machine.Frames.Array[list].Next;
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
