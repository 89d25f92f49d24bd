using System.Diagnostics;
using System.Runtime.CompilerServices;
using MemSim.Diagnostics;
using MemSim.Hardware;
using MemSim.Kernels;
using MemSim.Pages;
using MemSim.Zones;

namespace MemSim.PageAllocation;

/// <summary>Moves pages between per-CPU lists and the free lists in the kernel's order. How many at a time is what kernels differ in.</summary>
internal abstract class PcpLists
{
    /// <summary>How often a batch is doubled at most (<c>CONFIG_PCP_BATCH_SCALE_MAX</c>).</summary>
    protected const int MaxDoublings = 5;

    private readonly AllocatorHooks _hooks;
    private readonly FrameArray _frames;
    private readonly BuddyLists _buddy;
    private readonly Fallback _fallback;
    private readonly bool _cachesTypes;
    private readonly DriverGuard? _drivers;
    private readonly IInterleaver? _interleaver;

    protected PcpLists(Machine machine, FrameArray frames, BuddyLists buddy, Fallback fallback, AllocatorRules rules)
    {
        _hooks = machine.Hooks;
        _frames = frames;
        _buddy = buddy;
        _fallback = fallback;
        _cachesTypes = rules.CachesTypes;
        _drivers = machine.Callouts.Drivers;
        _interleaver = machine.Interleaver;
    }

    public static PcpLists For(Machine machine, FrameArray frames, BuddyLists buddy, Fallback fallback, AllocatorRules rules) => rules.PcpTuning switch
    {
        PcpTuning.FixedLimit => new FixedLimitPcpLists(machine, frames, buddy, fallback, rules),
        PcpTuning.MovingLimit => new MovingLimitPcpLists(machine, frames, buddy, fallback, rules),
        _ => throw new ArgumentOutOfRangeException(nameof(rules)),
    };

    /// <summary>Fills an empty list with blocks.</summary>
    /// <returns>Whether there was at least one.</returns>
    public abstract bool Refill(Cpu cpu, PerCpuPages pcp, int order, int type, AllocFlags flags);

    /// <summary>After a free that may have reached the limit: drains if it has.</summary>
    public abstract void TrimAfterFree(Cpu cpu, PerCpuPages pcp, int order, int listIndex);

    /// <summary>What becomes of a limit that rose with the load, once in <c>vm.stat_interval</c> seconds; itself where limits do not move.</summary>
    public virtual int LoweredLimit(PerCpuPages pcp) => pcp.High;

    /// <summary>Gives pages back to the free lists: whole lists from the back, starting with one list and going on with the next higher.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="pcp">The lists.</param>
    /// <param name="pages">How many pages; a block may overshoot it.</param>
    /// <param name="listIndex">The list to start with.</param>
    public void Drain(Cpu cpu, PerCpuPages pcp, int pages, int listIndex)
    {
        // What receivers of tracepoints throw is held back where they are called: nothing here throws, and the guard needs no handler.
        int before = _drivers?.EnterBriefly() ?? 0;
        Zone zone = pcp.Zone;
        int left = Math.Min(pages, pcp.Count);
        zone.EnterLock();
        while (left > 0)
        {
            _interleaver?.Pass("PcpLists.Drain");
            int head = pcp.FirstHead + listIndex;
            int order = PerCpuPages.ListOrder(listIndex, zone.PageblockOrder);
            while (left > 0 && !_frames.IsEmpty(head))
            {
                int pfn = _frames[head].Prev;
                _frames.Remove(pfn);
                ref PageFrame frame = ref _frames[pfn];
                Debug.Assert(frame.State == PageFrame.PcpState && frame.ZoneId == zone.Id, "what is on a CPU's list of a zone is marked so, and the zone's");
                frame.State = 0;
                pcp.Count -= 1 << order;
                left -= 1 << order;
                int type = _cachesTypes && zone.IsolatedPageblocks == 0 ? (int)frame.Index : zone.BlockType(pfn);
                _buddy.Free(zone, pcp, pfn, order, type);
                _hooks.Trace?.MmPagePcpuDrain(cpu, pfn, order, (MigrateType)type);
            }

            listIndex = listIndex + 1 == PerCpuPages.Lists ? 0 : listIndex + 1;
        }

        zone.ExitLock();
        _drivers?.Go(before);
        Debug.Assert(pcp.Count >= 0, "no more is drained than there is");
    }

    /// <summary>Takes blocks from the free lists one by one and appends them to an empty list.</summary>
    /// <returns>Whether there was at least one.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    protected bool Fill(Cpu cpu, PerCpuPages pcp, int order, int type, AllocFlags flags, int want)
    {
        // Where CPUs are parallel each has its own driver, and holds the lock of its lists: who else comes is found out on the way to it.
        DriverGuard? drivers = _drivers ?? cpu.Context.Drivers;
        int before = drivers?.EnterBriefly() ?? 0;
        Zone zone = pcp.Zone;
        int head = pcp.FirstHead + PerCpuPages.ListIndex(order, type);
        Debug.Assert(_frames.IsEmpty(head), "only an empty list is filled");
        pcp.Refills++;
        zone.EnterLock();
        bool quiet = !zone.HasCma && !_buddy.CountsEachBlock && _hooks.Trace is null;
        int got = quiet ? FillQuietly(zone, pcp, head, order, type, want) : 0;
        if (got < want)
        {
            return FillFurther(cpu, pcp, order, type, flags, want, got);
        }

        zone.AddFreePages(pcp, -(got << order));
        zone.ExitLock();
        pcp.Count += got << order;
        drivers?.Go(before);
        return true;
    }

    /// <summary>Somebody listens, or the type's own lists have not enough.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool FillFurther(Cpu cpu, PerCpuPages pcp, int order, int type, AllocFlags flags, int want, int got)
    {
        bool any;
        DriverGuard? drivers = _drivers ?? cpu.Context.Drivers;
        try
        {
            any = FillGuarded(cpu, pcp, order, type, flags, want, got);
        }
        catch
        {
            // Not a finally: that is a call of its own each time.
            drivers?.Leave();
            throw;
        }

        drivers?.Leave();
        return any;
    }

    private bool FillGuarded(Cpu cpu, PerCpuPages pcp, int order, int type, AllocFlags flags, int want, int got)
    {
        Zone zone = pcp.Zone;
        int head = pcp.FirstHead + PerCpuPages.ListIndex(order, type);
        int uncounted = got << order;
        FallbackStage stage = FallbackStage.Own;
        bool hasCma = zone.HasCma;
        bool countsAtEnd = !hasCma && !_buddy.CountsEachBlock;
        while (got < want)
        {
            // A zone with CMA chooses between its own type and CMA first; the fallback rules know.
            int pfn = hasCma || stage != FallbackStage.Own ? -1 : _buddy.TakeSmallest(zone, pcp, order, type);
            bool counted = false;
            if (pfn < 0)
            {
                pfn = _fallback.Take(cpu, zone, order, type, flags, ref stage);
                counted = _fallback.CountsTaken;
                if (pfn < 0)
                {
                    break;
                }
            }

            ref PageFrame frame = ref _frames[pfn];
            frame.State = PageFrame.PcpState;
            int cachedType = hasCma && zone.BlockType(pfn) == (int)MigrateType.Cma ? (int)MigrateType.Cma : type;
            frame.Index = (uint)cachedType;
            _frames.AddLast(head, pfn);
            if (!counted)
            {
                uncounted += countsAtEnd ? 1 << order : Uncounted(zone, pcp, order, cachedType);
            }

            _hooks.Trace?.MmPageAllocZoneLocked(cpu, pfn, order, (MigrateType)type, percpuRefill: true);
            got++;
        }

        if (uncounted != 0)
        {
            zone.AddFreePages(pcp, -uncounted);
        }

        zone.ExitLock();
        pcp.Count += got << order;
        Debug.Assert(got != 0 == !_frames.IsEmpty(head), "the list has what was got");
        return got != 0;
    }

    /// <summary>What a refill nearly always is: nobody listens, and the type's own lists have enough.</summary>
    /// <returns>The blocks put on the list.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int FillQuietly(Zone zone, PerCpuPages pcp, int head, int order, int type, int want)
    {
        int got = 0;
        for (int pfn; got < want && (pfn = _buddy.TakeSmallest(zone, pcp, order, type)) >= 0; got++)
        {
            ref PageFrame frame = ref _frames[pfn];
            frame.State = PageFrame.PcpState;
            frame.Index = (uint)type;
            _frames.AddLast(head, pfn);
        }

        return got;
    }

    /// <summary>Counts a block as taken where the kernel does so block by block; else the pages to be counted with the whole refill.</summary>
    private int Uncounted(Zone zone, PerCpuPages pcp, int order, int type)
    {
        if (_buddy.CountsEachBlock)
        {
            BuddyLists.CountFree(zone, pcp, -(1 << order), type);
            return 0;
        }

        if (type == (int)MigrateType.Cma)
        {
            zone.FreeCmaPagesCount -= 1 << order;
        }

        return 1 << order;
    }
}
