using System.Diagnostics;

namespace MemSim.Compaction;

/// <content>Putting compaction off where it failed before (<c>compaction_deferred()</c>).</content>
internal sealed partial class Compactor
{
    /// <summary>Whether a zone is left alone because compaction failed there recently; counts the question.</summary>
    public bool IsDeferred(Cpu cpu, Zone zone, int order)
    {
        ZoneScanners state = ScannersOf(zone);
        int limit = 1 << state.DeferShift;
        if (order < state.OrderFailed)
        {
            return false;
        }

        Debug.Assert(state.DeferShift is >= 0 and <= MaxDeferShift && state.Considered >= 0 && state.Considered <= limit, "a zone is left alone for a time that is over");
        if (++state.Considered >= limit)
        {
            state.Considered = limit;
            return false;
        }

        _machine.Migration.Trace?.MmCompactionDeferred(cpu, zone, order);
        return true;
    }

    public void Defer(Cpu cpu, Zone zone, int order)
    {
        ZoneScanners state = ScannersOf(zone);
        state.Considered = 0;
        state.DeferShift = Math.Min(state.DeferShift + 1, MaxDeferShift);
        state.OrderFailed = Math.Min(state.OrderFailed, order);
        Debug.Assert(state.DeferShift is > 0 and <= MaxDeferShift && state.OrderFailed <= order, "requests of the order that failed are put off");
        _machine.Migration.Trace?.MmCompactionDeferCompaction(cpu, zone, order);
    }

    public void ResetDeferral(Cpu cpu, Zone zone, int order, bool allocated)
    {
        ZoneScanners state = ScannersOf(zone);
        if (allocated)
        {
            state.Considered = 0;
            state.DeferShift = 0;
        }

        state.OrderFailed = Math.Max(state.OrderFailed, order + 1);
        Debug.Assert(order < state.OrderFailed, "requests of the order that succeeded are not");
        _machine.Migration.Trace?.MmCompactionDeferReset(cpu, zone, order);
    }
}
