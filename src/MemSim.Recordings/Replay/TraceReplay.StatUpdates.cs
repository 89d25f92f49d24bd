using MemSim.Recordings.Replay;
using MemSim.Zones;

namespace MemSim.Recordings;

/// <content>The periodic updates of counters, which lower the limits of per-CPU lists.</content>
public sealed partial class TraceReplay
{
    /// <summary>How many events of others may stand between a free and its drain.</summary>
    private const int MostBetween = 256;

    private long _statDrains;
    private long _statDrainsAsRecorded;
    private long _limitsCorrected;
    private bool _knowsUpdates;

    /// <summary>
    /// Lowers the limits as the rule says. Whether a list is drained is recorded: where the rule would drain as many pages as that, it does; else the recording decides, and tells what the limit is.
    /// </summary>
    private void UpdateStats(in TraceStepEvent e, int position)
    {
        Cpu cpu = _actors[e.Cpu];
        _knowsUpdates = true;
        foreach (PerCpuPages pcp in cpu.Lists.Pcp)
        {
            // Of another node's lists a batch is drained, which is no matter of limits.
            int recorded = e.Pid < 0 || !ReferenceEquals(pcp.Zone.Node, cpu.Node) ? 0 : PagesDrained(e, position, pcp.Zone);
            int lowered = _machine!.Pages.LoweredLimit(pcp);
            _statDrains += recorded != 0 ? 1 : 0;
            if (Math.Max(pcp.Count - lowered, 0) == recorded)
            {
                _statDrainsAsRecorded += recorded != 0 ? 1 : 0;
                _machine.Pages.LowerLimit(cpu, pcp);
            }
            else
            {
                pcp.High = Math.Max(pcp.Count - recorded, recorded == 0 ? lowered : pcp.HighMin);
            }
        }
    }

    /// <summary>
    /// Before a free, where the times of updates are not known: whether it reaches a limit that moves is recorded, by the drain behind it. Where the machine would do otherwise, the limit follows
    /// what was recorded.
    /// </summary>
    private void KeepLimitTo(in TraceStepEvent e, int pfn, int order)
    {
        Zone? zone = _frames!.ZoneOf(pfn, order);
        if (_knowsUpdates || !TraceStatUpdates.CanBeFollowed(_kernel.Line) || zone?.Pcp[e.Cpu] is not { IsMoving: true } pcp || order > PageGeometry.CostlyOrder || pcp.HighMin == pcp.HighMax || (zone.Flags & (ZoneFlags.ReclaimActive | ZoneFlags.BelowHigh)) != 0)
        {
            return;
        }

        int count = pcp.Count + (1 << order);
        bool drained = IsDrainedNext(e);
        if (drained == count >= pcp.ClampHigh() || (drained && order != 0))
        {
            return;
        }

        _limitsCorrected++;
        pcp.High = Math.Clamp(drained ? count : count + 1, pcp.HighMin, pcp.HighMax);
    }

    /// <summary>Whether what a task, or an interrupt, does next after a free is a drain.</summary>
    private bool IsDrainedNext(in TraceStepEvent e)
    {
        ReadOnlySpan<TraceStepEvent> events = _recording.Events;
        for (int i = Position + 1; i < Math.Min(events.Length, Position + MostBetween); i++)
        {
            if (events[i].Cpu == e.Cpu && events[i].Pid == e.Pid && events[i].InInterrupt == e.InInterrupt)
            {
                return events[i].Step == TraceStep.Drain;
            }
        }

        return false;
    }

    private int PagesDrained(in TraceStepEvent e, int position, Zone zone)
    {
        ReadOnlySpan<TraceStepEvent> events = _recording.Events;
        int pages = 0;
        for (int i = position + 1; i < events.Length; i++)
        {
            if (events[i].Cpu != e.Cpu)
            {
                continue;
            }

            if (events[i].Step != TraceStep.Drain || events[i].Pid != e.Pid)
            {
                break;
            }

            pages += ReferenceEquals(_frames!.ZoneOf(events[i].Pfn, events[i].Order), zone) ? 1 << events[i].Order : 0;
        }

        return pages;
    }
}
