using MemSim.Observability;
using MemSim.Zones;

namespace MemSim.Recordings.Replay;

/// <summary>What the events of a recording tell of the state before them, for recordings whose lists were not read.</summary>
/// <remarks>
/// The first thing recorded of a frame says where it was. Allocated without a refill before: in that CPU's list, in the order in which such frames are allocated. Drained: at the
/// back of a list. Taken from the free lists: there. Freed: in use. So a start state can be put together with which the first use of each frame agrees by construction
/// (<see cref="Tells"/>); everything after that is predicted.
/// </remarks>
internal sealed class TraceStartEvents
{
    private readonly Dictionary<int, int> _takenFromFreeLists = [];
    private readonly HashSet<int> _elsewhere = [];
    private readonly HashSet<int> _told = [];
    private readonly Dictionary<int, int[]> _types = [];
    private readonly Dictionary<int, byte> _takenFor = [];
    private readonly Dictionary<int, byte> _foundUnder = [];
    private readonly HashSet<(int Cpu, int List)> _refilled = [];
    private readonly List<(int Cpu, int List, int Pfn)> _fromLists = [];
    private readonly List<(int Cpu, int List, int Pfn)> _drained = [];
    private readonly int _pageblockOrder;

    /// <summary>Looks at the events.</summary>
    /// <param name="events">All events, in order.</param>
    /// <param name="fallbacks">Frames at which requests found blocks of another type, with that type, in order.</param>
    /// <param name="pageblockOrder">log2 of the pages in a page block.</param>
    public TraceStartEvents(ReadOnlySpan<TraceStepEvent> events, IReadOnlyList<(int Pfn, byte Type)> fallbacks, int pageblockOrder)
    {
        _pageblockOrder = pageblockOrder;
        foreach ((int pfn, byte type) in fallbacks)
        {
            _foundUnder.TryAdd(pfn >> pageblockOrder, type);
        }

        HashSet<int> seen = [];
        HashSet<int> refilledFirst = [];
        for (int i = 0; i < events.Length; i++)
        {
            ref readonly TraceStepEvent e = ref events[i];
            bool refill = e.Step is TraceStep.Refill or TraceStep.UntracedRefill;
            if (refill)
            {
                _refilled.Add((e.Cpu, PerCpuPages.ListIndex(e.Order, e.MigrateType)));
                HasRefills = true;
            }

            if (!refill && e.Step is not (TraceStep.Allocate or TraceStep.TakenDirectly or TraceStep.Drain) && !TraceReplayRecording.IsFree(e.Step))
            {
                continue;
            }

            bool first = true;
            for (int pfn = e.Pfn; pfn < e.Pfn + (1 << e.Order); pfn++)
            {
                first &= seen.Add(pfn);
            }

            if (e.Step == TraceStep.Allocate && refilledFirst.Remove(e.Pfn) && e.Refilled)
            {
                _told.Add(i);
            }

            if (first && e.Pfn >= 0)
            {
                Note(e, i);
                if (refill)
                {
                    refilledFirst.Add(e.Pfn);
                }
            }
        }

        // What is drained first stood last.
        _drained.Reverse();
    }

    /// <summary>Whether refills are recorded at all: without them nothing says whether a frame came from a list or from the free lists.</summary>
    public bool HasRefills { get; }

    /// <summary>Whether an allocation only shows what the start state was made from: it is the first use of its frame.</summary>
    /// <param name="index">The event's index.</param>
    public bool Tells(int index) => _told.Contains(index);

    /// <summary>Whether a frame of a block is known not to be in the free lists at the start.</summary>
    public bool IsElsewhere(long pfn, int order)
    {
        for (long i = pfn; i < pfn + (1L << order) && i <= int.MaxValue; i++)
        {
            if (_elsewhere.Contains((int)i))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>When the first frame of a block was taken from the free lists: the index of that event; <see cref="int.MaxValue"/> if it never was.</summary>
    public int TakenAt(long pfn, int order)
    {
        int at = int.MaxValue;
        for (long i = pfn; i < pfn + (1L << order) && i <= int.MaxValue; i++)
        {
            at = Math.Min(at, _takenFromFreeLists.GetValueOrDefault((int)i, int.MaxValue));
        }

        return at;
    }

    /// <summary>
    /// The type of a page block: the one under which a request for another type first found some of it, else that of most of its frames that were in per-CPU lists at the start; null where the events tell
    /// of neither.
    /// </summary>
    /// <param name="block">The page block: its first frame by the pages in one.</param>
    public byte? TypeOf(long block) =>
        block > int.MaxValue ? null : _foundUnder.TryGetValue((int)block, out byte type) ? type : _types.TryGetValue((int)block, out int[]? votes) ? (byte)Array.IndexOf(votes, votes.Max()) : null;

    /// <summary>For which type a page block's frames were first taken from the free lists: its own, or one that had no others left; null where none was.</summary>
    /// <param name="block">The page block.</param>
    public byte? FirstTakenFor(long block) => block <= int.MaxValue && _takenFor.TryGetValue((int)block, out byte type) ? type : null;

    /// <summary>Fills the per-CPU lists of a zone.</summary>
    /// <param name="zone">The zone; its lists are there and empty.</param>
    /// <param name="isFree">Whether a frame is in the free lists.</param>
    public void FillLists(ZoneState zone, Predicate<int> isFree)
    {
        foreach ((int cpu, int list, int pfn) in _fromLists.Concat(_drained))
        {
            if (cpu < zone.Pcp.Count && pfn >= zone.StartPfn && pfn < zone.StartPfn + zone.SpannedPages && !isFree(pfn))
            {
                PcpState pcp = zone.Pcp[cpu];
                pcp.Lists[list] = [.. pcp.Lists[list], pfn];
                pcp.Count += 1 << PerCpuPages.ListOrder(list, _pageblockOrder);
            }
        }
    }

    /// <summary>
    /// Fills the lists of one CPU up to the pages counted there with frames that the recording never mentions: at the back of a list of single pages that is never empty, so that only their number matters.
    /// </summary>
    /// <param name="zone">The zone.</param>
    /// <param name="cpu">The CPU.</param>
    /// <param name="count">The pages counted.</param>
    /// <param name="candidates">Frames that may be in a list.</param>
    public void FillUp(ZoneState zone, int cpu, long count, IEnumerable<int> candidates)
    {
        PcpState pcp = zone.Pcp[cpu];
        int list = Enumerable.Range(0, PerCpuPages.PcpTypes).FirstOrDefault(l => !_refilled.Contains((cpu, l)), -1);
        if (list < 0 || pcp.Count >= count)
        {
            return;
        }

        long[] more = [.. candidates.Where(pfn => !_elsewhere.Contains(pfn) && !_takenFromFreeLists.ContainsKey(pfn)).Take((int)Math.Min(count - pcp.Count, int.MaxValue)).Select(pfn => (long)pfn)];
        int drained = _drained.Count(d => d.Cpu == cpu && d.List == list && pcp.Lists[list].Contains(d.Pfn));
        int at = Math.Max(0, pcp.Lists[list].Length - drained);
        pcp.Lists[list] = [.. pcp.Lists[list][..at], .. more, .. pcp.Lists[list][at..]];
        pcp.Count += more.Length;
    }

    /// <summary>The type under which a request for another type first found some of a frame's page block; null where none did.</summary>
    private int? TypeBefore(int pfn) => _foundUnder.TryGetValue(pfn >> _pageblockOrder, out byte type) && type < PerCpuPages.PcpTypes ? type : null;

    private void Note(in TraceStepEvent e, int index)
    {
        bool hasList = e.Order <= PageGeometry.CostlyOrder || e.Order == _pageblockOrder;
        bool listed = e.MigrateType < PerCpuPages.PcpTypes && hasList;
        switch (e.Step)
        {
            case TraceStep.Refill or TraceStep.UntracedRefill or TraceStep.TakenDirectly:
                _takenFromFreeLists[e.Pfn] = index;
                if (e.MigrateType < PerCpuPages.PcpTypes)
                {
                    _takenFor.TryAdd(e.Pfn >> _pageblockOrder, e.MigrateType);
                }

                return;
            case TraceStep.Allocate when listed:
                _fromLists.Add((e.Cpu, PerCpuPages.ListIndex(e.Order, e.MigrateType), e.Pfn));
                _told.Add(index);
                Vote(e);
                break;
            case TraceStep.Drain when listed:
                _drained.Add((e.Cpu, PerCpuPages.ListIndex(e.Order, TypeBefore(e.Pfn) ?? e.MigrateType), e.Pfn));
                Vote(e);
                break;
            default:
                break;
        }

        for (int pfn = e.Pfn; pfn < e.Pfn + (1 << e.Order); pfn++)
        {
            _elsewhere.Add(pfn);
        }
    }

    private void Vote(in TraceStepEvent e)
    {
        if (e.MigrateType < PerCpuPages.PcpTypes)
        {
            int block = e.Pfn >> _pageblockOrder;
            int[] votes = _types.TryGetValue(block, out int[]? known) ? known : _types[block] = new int[PerCpuPages.PcpTypes];
            votes[e.MigrateType] += 1 << e.Order;
        }
    }
}
