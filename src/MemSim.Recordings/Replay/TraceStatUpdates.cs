using MemSim.Kernels;

namespace MemSim.Recordings.Replay;

/// <summary>Finds where a recording's CPUs updated their counters (<c>vmstat_update()</c>, once a second), which lowers the limits of per-CPU lists on kernels that move them.</summary>
/// <remarks>
/// No event tells of it, but some of these updates drain a list, by the CPU's own worker: their times tell those of all the others. Where no update drains, none is
/// found: the limits then stay what they are.
/// </remarks>
internal sealed class TraceStatUpdates
{
    private const long Period = 1_000_000_000;

    /// <summary>How far from its time an update may come: workers wait for the CPU.</summary>
    private const long Tolerance = 120_000_000;

    /// <summary>The most between a free and the drain it causes.</summary>
    private const long LongestPause = 1_000_000;

    private readonly List<(long TimeNs, bool ByWorker)> _marks = [];

    /// <summary>Whether limits can be followed at all: they move, and no pages leave the lists without an event, as those of thread stacks do up to 6.19, so that counts are known to the page.</summary>
    public static bool CanBeFollowed(KernelPersonality kernel) => kernel.Reserves.TunesPcpHigh && kernel.KernelMemory.ThreadStacks != ThreadStackRule.SinglePages;

    /// <summary>Notes when an event was, and whether by the worker of its CPU.</summary>
    public void Note(in TraceEvent e) => _marks.Add((e.TimestampNs, e.TaskName.StartsWith("kworker/", StringComparison.Ordinal) && char.IsAsciiDigit(e.TaskName.ElementAtOrDefault("kworker/".Length))));

    /// <summary>Puts the updates between the events.</summary>
    public void InsertInto(List<TraceStepEvent> events, int cpus)
    {
        List<(int Index, TraceStepEvent Update)> updates = [];
        for (int cpu = 0; cpu < cpus; cpu++)
        {
            Find(events, cpu, updates);
        }

        if (updates.Count == 0)
        {
            return;
        }

        updates.Sort((a, b) => a.Index.CompareTo(b.Index));
        TraceStepEvent[] old = [.. events];
        events.Clear();
        int next = 0;
        for (int i = 0; i <= old.Length; i++)
        {
            for (; next < updates.Count && updates[next].Index == i; next++)
            {
                events.Add(updates[next].Update);
            }

            if (i < old.Length)
            {
                events.Add(old[i]);
            }
        }
    }

    private void Find(List<TraceStepEvent> events, int cpu, List<(int Index, TraceStepEvent Update)> updates)
    {
        List<int> bursts = Bursts(events, cpu);
        if (Regular(bursts) is not { Count: > 0 } regular)
        {
            return;
        }

        long start = _marks[0].TimeNs;
        long phase = (_marks[regular[0]].TimeNs - start) % Period;
        int burst = 0;
        int at = 0;
        for (long time = start + phase; time <= _marks[^1].TimeNs; time += Period)
        {
            while (burst < regular.Count && _marks[regular[burst]].TimeNs < time - Tolerance)
            {
                burst++;
            }

            bool drains = burst < regular.Count && _marks[regular[burst]].TimeNs <= time + Tolerance;
            while (_marks[at].TimeNs < time)
            {
                at++;
            }

            if (!drains)
            {
                updates.Add((at, UpdateBefore(events[at], cpu, -1)));
            }
        }

        // Those out of turn were asked for (vm.stat_refresh).
        updates.AddRange(bursts.Select(index => (index, UpdateBefore(events[index], cpu, events[index].Pid))));
    }

    private static TraceStepEvent UpdateBefore(in TraceStepEvent e, int cpu, int worker) =>
        new(TraceStep.StatUpdate, 0, 0, (ushort)cpu, false, -1, Gfp.None, e.Line, worker, false);

    /// <summary>The first drains of those that a CPU's worker did without having freed anything just before.</summary>
    private List<int> Bursts(List<TraceStepEvent> events, int cpu)
    {
        List<int> bursts = [];
        int last = -1;
        for (int i = 0; i < events.Count; i++)
        {
            TraceStepEvent e = events[i];
            if (e.Cpu != cpu)
            {
                continue;
            }

            bool begins = _marks[i].ByWorker && !e.InInterrupt && e.Step == TraceStep.Drain;
            if (begins && (last < 0 || events[last].Pid != e.Pid || (events[last].Step != TraceStep.Drain && _marks[i].TimeNs - _marks[last].TimeNs > LongestPause)))
            {
                bursts.Add(i);
            }

            last = i;
        }

        return bursts;
    }

    /// <summary>The largest set of them that are whole seconds apart.</summary>
    private List<int> Regular(List<int> bursts)
    {
        List<int> best = [];
        foreach (int one in bursts)
        {
            List<int> same = bursts.FindAll(other =>
            {
                long apart = Math.Abs(_marks[other].TimeNs - _marks[one].TimeNs) % Period;
                return Math.Min(apart, Period - apart) <= Tolerance;
            });
            if (same.Count > best.Count)
            {
                best = same;
            }
        }

        return best;
    }
}
