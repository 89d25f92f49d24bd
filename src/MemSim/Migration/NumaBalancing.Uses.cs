using MemSim.Migration;
using MemSim.Pages;
using MemSim.Statistics;
using MemSim.VirtualMemory;

namespace MemSim;

/// <content>A page was used whose entry had lost its rights: whether it goes where it was used.</content>
public sealed partial class NumaBalancing
{
    /// <summary>Rounds over an address space in which a task's first uses, and its own pages, need no second look.</summary>
    private const int EarlyRounds = 4;

    private const uint PidMask = 0xff;
    private const int PidBits = 8;

    private void Used(Cpu cpu, Vma vma, ulong address, int pfn, int pages)
    {
        _machine.Events.Count(VmEvent.NumaHintFaults);
        AddressSpaces spaces = vma.Mm.Spaces;
        int head = spaces.Pages.HeadOf(pfn);
        Node node = NodeOf(spaces, head);
        bool local = ReferenceEquals(node, cpu.Node);
        if (local)
        {
            _machine.Events.Count(VmEvent.NumaHintFaultsLocal);
        }

        if (_mode == NumaBalancingModes.Off)
        {
            return;
        }

        NumaScanState state = StateOf(vma.Mm);
        uint self = IdOf(cpu, vma.Mm);
        bool bySpeed = (_mode & NumaBalancingModes.MemoryTiering) != 0 && !_machine.Migration.Tiers.IsTop(node);
        uint? last = bySpeed ? null : _uses![head];
        bool wanted = (vma.Policy ?? cpu.Current.Policy) is null && (bySpeed ? IsHot(cpu, head, pages) : IsWanted(cpu, state, head, self)) && !local;
        bool failed = false;
        pages = Math.Max(pages, 1 << spaces.Frames[head].Order);
        bool moved = wanted && TryMove(cpu, vma, pfn, head, pages, out failed);
        if (bySpeed)
        {
            return;
        }

        Node now = moved ? cpu.Node : node;
        bool isPrivate = last is not { } seen || (seen & PidMask) == (self & PidMask);
        Count(vma.Mm, state, now, ReferenceEquals(now, cpu.Node), isPrivate, pages, failed);
        _ = address;
    }

    /// <summary>Whether a page should go to the CPU that used it: at once while the task is young and nobody else uses the page, else when two uses in a row came from that node (<c>should_numa_migrate_memory()</c>).</summary>
    /// <remarks>Groups of tasks that share pages, which weigh more than two uses, are the scheduler's.</remarks>
    private bool IsWanted(Cpu cpu, NumaScanState state, int head, uint self)
    {
        uint? last = _uses!.Exchange(head, self);
        bool mine = last is not { } seen || (seen & PidMask) == (self & PidMask);
        if ((state.PreferredNode == NumaScanState.NoNode || state.Sequence <= EarlyRounds) && mine)
        {
            return true;
        }

        return last is not { } user || ReferenceEquals(_machine.Cpus[(int)(user >> PidBits)].Node, cpu.Node);
    }

    /// <summary>Moves a page to the node of a CPU, if that has room (<c>migrate_misplaced_folio()</c>).</summary>
    private bool TryMove(Cpu cpu, Vma vma, int pfn, int head, int pages, out bool failed)
    {
        failed = true;
        AddressSpaces spaces = vma.Mm.Spaces;
        ref PageFrame frame = ref spaces.Frames[head];
        bool file = !frame.IsSwapBacked;
        if (file && ((spaces.Maps.MapCount(pfn) != 1 && (vma.Flags & VmaFlags.Exec) != 0) || frame.IsDirty))
        {
            return false;
        }

        Node from = NodeOf(spaces, head);
        Node to = cpu.Node;
        if (!HasRoom(to, 1L << frame.Order))
        {
            if ((_mode & NumaBalancingModes.MemoryTiering) != 0)
            {
                WakeKswapd(cpu, to, frame.Order);
            }

            return false;
        }

        PageMigrator migrator = _machine.Migration.Migrator;
        if ((frame.Order != 0 && !frame.IsAnonymous) || !migrator.IsolateLru(head))
        {
            return false;
        }

        uint? use = _uses![head];
        _targets.Node = to;
        _targets.Last = -1;
        _isolated.Add(head);
        MigrationResult result = migrator.Migrate(cpu, _isolated, _targets, MigrationMode.Async, MigrationReason.NumaMisplaced);
        migrator.PutBackAll(cpu, _isolated);
        if (result.Succeeded == 0)
        {
            return false;
        }

        failed = false;
        if (use is { } value && _targets.Last >= 0 && (_mode & NumaBalancingModes.MemoryTiering) == 0)
        {
            // A page that changes tiers is new there.
            _ = _uses.Exchange(_targets.Last, value);
        }

        _machine.Events.Count(VmEvent.NumaPagesMigrated, pages);
        MemoryTiers tiers = _machine.Migration.Tiers;
        if (!tiers.IsTop(from) && tiers.IsTop(to))
        {
            to.Counters.PromoteSuccess += pages;
        }

        return true;
    }

    /// <summary>Counts a use where the page is now, and looks at all of them once the address space was scanned another time (<c>task_numa_fault()</c>).</summary>
    private void Count(MemoryDescriptor mm, NumaScanState state, Node node, bool local, bool isPrivate, int pages, bool failed)
    {
        if (state.PlacedSequence != state.Sequence)
        {
            Place(mm, state);
        }

        state.NewFaults[node.Id] += pages;
        state.PrivateFaults += isPrivate ? pages : 0;
        state.SharedFaults += isPrivate ? 0 : pages;
        state.LocalFaults += local ? pages : 0;
        state.RemoteFaults += local ? 0 : pages;
        state.FailedMoves += failed ? pages : 0;
    }

    /// <summary>What older rounds found counts half; the node with most uses is preferred, and the next scan comes the later the better things are (<c>task_numa_placement()</c>, <c>update_task_scan_period()</c>).</summary>
    private void Place(MemoryDescriptor mm, NumaScanState state)
    {
        state.PlacedSequence = state.Sequence;
        int best = NumaScanState.NoNode;
        for (int i = 0; i < state.Faults.Length; i++)
        {
            state.Faults[i] = (state.Faults[i] / 2) + state.NewFaults[i];
            state.NewFaults[i] = 0;
            best = state.Faults[i] != 0 && (best < 0 || state.Faults[i] > state.Faults[best]) ? i : best;
        }

        state.PreferredNode = best >= 0 ? best : state.PreferredNode;
        AdaptPeriod(mm, state);
        state.PrivateFaults = state.SharedFaults = state.LocalFaults = state.RemoteFaults = state.FailedMoves = 0;
    }

    private void AdaptPeriod(MemoryDescriptor mm, NumaScanState state)
    {
        const long slots = 10;
        const long threshold = 7;
        long longest = LongestPeriod(mm);
        if (state.PrivateFaults + state.SharedFaults == 0 || state.FailedMoves != 0)
        {
            state.PeriodNanoseconds = Math.Min(longest, state.PeriodNanoseconds << 1);
            state.NextScanNanoseconds += state.PeriodNanoseconds;
            return;
        }

        long slot = (state.PeriodNanoseconds + slots - 1) / slots;
        long near = state.LocalFaults * slots / (state.LocalFaults + state.RemoteFaults);
        long own = state.PrivateFaults * slots / (state.PrivateFaults + state.SharedFaults);
        long change = own >= threshold ? Math.Max(1, own - threshold) * slot
            : near >= threshold ? Math.Max(1, near - threshold) * slot
            : -(threshold - Math.Max(near, own)) * slot;
        state.PeriodNanoseconds = Math.Clamp(state.PeriodNanoseconds + change, ShortestPeriod(mm), longest);
    }

    /// <summary>Whether a zone of a node is above its high watermark with a page more (<c>migrate_balanced_pgdat()</c>).</summary>
    private static bool HasRoom(Node node, long pages)
    {
        for (int i = node.Zones.Count - 1; i >= 0; i--)
        {
            Zone zone = node.Zones[i];
            if (zone.ManagedPages != 0 && Zones.WatermarkCheck.PassesFull(zone, 0, zone.GetWatermarkPages(Watermark.High) + pages, node.Zones.Count - 1, Zones.AllocFlags.Cma, zone.FreePagesForChecks))
            {
                return true;
            }
        }

        return false;
    }

    private void WakeKswapd(Cpu cpu, Node node, int order)
    {
        for (int i = node.Zones.Count - 1; i >= 0; i--)
        {
            if (node.Zones[i].ManagedPages != 0)
            {
                _machine.Hooks.Reclaimer.WakeKswapd(node.Zones[i], new ReclaimRequest(cpu, Gfp.None, order, node.Zones[i].Index, [node.Zones[i]]));
                return;
            }
        }
    }

    private static uint IdOf(Cpu cpu, MemoryDescriptor mm) => ((uint)cpu.Id << PidBits) | ((uint)((cpu.Current as Process ?? mm.Owner)?.Pid ?? 0) & PidMask);

    private Node NodeOf(AddressSpaces spaces, int head) => _machine.Zones[spaces.Frames[head].ZoneId].Node;
}
