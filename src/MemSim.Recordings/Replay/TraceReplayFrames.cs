using MemSim.Pages;
using MemSim.Zones;

namespace MemSim.Recordings.Replay;

/// <summary>Where a machine holds a frame.</summary>
internal enum FramePlace
{
    /// <summary>In use since before the recording, as far as the machine knows.</summary>
    Untracked,
    Allocated,
    FreeList,
    PcpList,
}

/// <summary>Moves frames of a machine to where a recording says they are, keeping every counter right.</summary>
/// <remarks>Used when the recording shows what the machine could not know: pages taken without an event, and what follows from a wrong prediction.</remarks>
internal sealed class TraceReplayFrames
{
    private readonly Machine _machine;
    private readonly FrameArray _frames;

    public TraceReplayFrames(Machine machine)
    {
        _machine = machine;
        _frames = machine.Frames.Array;
    }

    /// <summary>The zone that holds a whole block; null when none does.</summary>
    public Zone? ZoneOf(int pfn, int order) =>
        pfn >= 0 && _machine.ZoneTable.ZoneOf(pfn) is { } zone && zone.SpansIndex(pfn + (1L << order) - 1) ? zone : null;

    public FramePlace Find(int pfn, out int head, out int order)
    {
        head = _machine.ZoneTable.BlockHeadOf(pfn, out order);
        return head < 0 ? FramePlace.Untracked
            : _frames[head].IsBuddy ? FramePlace.FreeList
            : _frames[head].IsPcp ? FramePlace.PcpList
            : FramePlace.Allocated;
    }

    /// <summary>The lists a frame in a per-CPU list belongs to.</summary>
    public PerCpuPages PcpOf(int head, out int list)
    {
        int at = head;
        while (at < _machine.Frames.Count)
        {
            at = _frames[at].Next;
        }

        foreach (PerCpuPages pcp in _machine.Zones[_frames[head].ZoneId].Pcp)
        {
            list = at - pcp.FirstHead;
            if ((uint)list < PerCpuPages.Lists)
            {
                return pcp;
            }
        }

        throw new InvalidOperationException($"frame 0x{head:x} is in a list of no CPU");
    }

    /// <summary>Makes a block an allocated one of exactly this order, whatever its frames are now.</summary>
    /// <returns>Whether some of it was free.</returns>
    public bool Claim(Cpu cpu, int pfn, int order)
    {
        Zone zone = _machine.ZoneTable.ZoneOf(pfn)!;
        bool free = TakeOut(cpu, zone, pfn, order);
        ref PageFrame frame = ref _frames[pfn];
        frame.Identity = PageFrame.FreeIdentity(zone.Id, 0);
        frame.State = PageFrame.AllocatedState(order);
        frame.Mapping = 0;
        zone.UntrackedPages -= 1L << order;
        return free;
    }

    /// <summary>Gives a block that was handed out wrongly back to where it came from.</summary>
    public void Return(Cpu cpu, int pfn, int order, int type)
    {
        ref PageFrame frame = ref _frames[pfn];
        PerCpuPages pcp = cpu.Lists.Pcp[frame.ZoneId];
        frame.Identity = PageFrame.FreeIdentity(pcp.Zone.Id, 0);
        if (HasList(order))
        {
            frame.State = PageFrame.PcpState;
            frame.Index = (uint)type;
            _frames.AddFirst(pcp.FirstHead + PerCpuPages.ListIndex(order, type), pfn);
            pcp.Count += 1 << order;
        }
        else
        {
            frame.State = 0;
            _machine.Pages.Buddy.Free(pcp.Zone, pcp, pfn, order, type);
        }
    }

    /// <summary>Frees a block past the per-CPU lists, as an interrupt does that held the CPU up inside of them.</summary>
    public void FreePastLists(Cpu cpu, int pfn, int order)
    {
        ref PageFrame frame = ref _frames[pfn];
        PerCpuPages pcp = cpu.Lists.Pcp[frame.ZoneId];
        int type = pcp.Zone.BlockType(pfn);
        frame.Identity = PageFrame.FreeIdentity(pcp.Zone.Id, 0);
        frame.State = 0;
        _machine.Pages.Buddy.Free(pcp.Zone, pcp, pfn, order, type);
    }

    /// <summary>Whether CPUs keep lists of blocks of an order.</summary>
    public bool HasList(int order) => order <= PageGeometry.CostlyOrder || order == _machine.Memory.PageblockOrder;

    /// <summary>Whether a block is in the list of a CPU that requests of its order and a type take from.</summary>
    public bool IsInList(Cpu cpu, int pfn, int order, int type) =>
        HasList(order) && ZoneOf(pfn, order) is not null && Find(pfn, out int head, out int size) == FramePlace.PcpList && head == pfn && size == order
        && PcpOf(pfn, out int list).Cpu == cpu.Id && list == PerCpuPages.ListIndex(order, type);

    /// <summary>The blocks of a CPU's list, last first.</summary>
    public void CopyListBackwards(PerCpuPages pcp, int list, List<int> blocks)
    {
        blocks.Clear();
        int headOfList = pcp.FirstHead + list;
        for (int block = _frames[headOfList].Prev; block != headOfList; block = _frames[block].Prev)
        {
            blocks.Add(block);
        }
    }

    /// <summary>What asking a CPU's lists changes besides the lists: to be put back where a question was none of the recorded kernel's.</summary>
    public PcpTuningState TuningOf(Cpu cpu, int pfn) => new(cpu.Lists.Pcp[_machine.ZoneTable.ZoneOf(pfn)?.Id ?? 0]);

    /// <summary>Gives a block of a per-CPU list back to the free lists, as a drain does.</summary>
    public void Drain(Cpu cpu, int head, int order)
    {
        PerCpuPages pcp = PcpOf(head, out _);
        _frames.Remove(head);
        pcp.Count -= 1 << order;
        _frames[head].State = 0;
        _machine.Pages.Buddy.Free(pcp.Zone, cpu.Lists.Pcp[pcp.Zone.Id], head, order, (int)_frames[head].Index);
    }

    /// <summary>
    /// Blocks ahead of one that was handed out cannot have been in this list: the task that freed them had moved to another CPU by then, so they go to the
    /// back of the next CPU's list.
    /// </summary>
    public void SetAsideWhatIsAhead(Cpu cpu, int pfn, int order, int type)
    {
        if (_machine.Cpus.Count == 1 || Find(pfn, out int head, out int size) != FramePlace.PcpList || head != pfn || size != order)
        {
            return;
        }

        PerCpuPages pcp = PcpOf(pfn, out int list);
        if (pcp.Cpu != cpu.Id || list != PerCpuPages.ListIndex(order, type))
        {
            return;
        }

        PerCpuPages other = pcp.Zone.Pcp[(cpu.Id + 1) % _machine.Cpus.Count];
        for (int first = _frames[pcp.FirstHead + list].Next; first != pfn; first = _frames[pcp.FirstHead + list].Next)
        {
            _frames.Remove(first);
            pcp.Count -= 1 << order;
            _frames.AddLast(other.FirstHead + list, first);
            other.Count += 1 << order;
        }
    }

    /// <summary>Marks a block of user pages as being on an LRU list, which block stealing looks at.</summary>
    public void MarkLru(int pfn) => _frames[pfn].Set(PageFlags.Lru);

    /// <summary>Makes every frame of a block one that the machine knows nothing about.</summary>
    private bool TakeOut(Cpu cpu, Zone zone, int pfn, int order)
    {
        bool wasFree = false;
        PerCpuPages counts = cpu.Lists.Pcp[zone.Id];
        int end = pfn + (1 << order);
        int at = pfn;
        while (at < end)
        {
            FramePlace place = Find(at, out int head, out int size);
            bool larger = size > order;
            switch (place)
            {
                case FramePlace.Untracked:
                    _frames[at].Begin(zone.Id);
                    at++;
                    continue;
                case FramePlace.PcpList when larger:
                    // Only a part of it is wanted, which the free lists can do: look again there.
                    Drain(cpu, head, size);
                    continue;
                case FramePlace.PcpList:
                    wasFree = true;
                    PcpOf(head, out _).Count -= 1 << size;
                    _frames.Remove(head);
                    _frames[head].Identity = PageFrame.FreeIdentity(zone.Id, 0);
                    _frames[head].State = 0;
                    break;
                case FramePlace.FreeList:
                    wasFree = true;
                    _machine.Pages.Buddy.TakeBlock(zone, counts, larger ? pfn : head, larger ? order : size);
                    break;
                case FramePlace.Allocated when larger:
                    _machine.Pages.Split(head, size);
                    continue;
                default:
                    _frames[head].Identity = PageFrame.FreeIdentity(zone.Id, 0);
                    _frames[head].State = 0;
                    break;
            }

            int taken = larger ? order : size;
            zone.UntrackedPages += 1L << taken;
            at = (larger ? pfn : head) + (1 << taken);
        }

        return wasFree;
    }
}

/// <summary>The figures by which a CPU's lists adapt, at one moment.</summary>
internal readonly struct PcpTuningState(PerCpuPages pcp)
{
    private readonly int _freeRun = pcp.FreeRun;
    private readonly int _allocFactor = pcp.AllocFactor;
    private readonly int _high = pcp.High;

    /// <summary>Puts the figures back to what they were, and to what some allocations since then make of them.</summary>
    public void Restore(int allocations)
    {
        pcp.FreeRun = _freeRun >> Math.Min(allocations, 31);
        pcp.AllocFactor = _allocFactor;
        pcp.High = _high;
    }
}
