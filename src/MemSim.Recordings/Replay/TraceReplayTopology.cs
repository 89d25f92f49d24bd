using MemSim.Captures;
using MemSim.Observability;

namespace MemSim.Recordings.Replay;

/// <summary>Finds the nodes of a recording's CPUs: the lists before a trace do not tell them, and a CPU takes from its own node first.</summary>
internal static class TraceReplayTopology
{
    /// <summary>Adds what the boot log tells, and for CPUs that it does not name where the recording shows them taking most blocks from.</summary>
    public static void Add(AllocatorState state, TraceReplayFolder folder, TraceReplayRecording? recording)
    {
        if (state.Zones.Select(z => z.Node).Distinct().Count() == 1)
        {
            return;
        }

        BootLog log = BootLog.Parse(folder.FindBefore("dmesg.txt") is { } path ? InputFile.ReadText(path) : "");
        IReadOnlyDictionary<int, int> logged = log.CpuNodes();
        int[] taken = MostTakenFrom(state, recording);
        state.CpuNodes = [.. Enumerable.Range(0, state.CpuCount).Select(cpu => logged.GetValueOrDefault(cpu, taken[cpu]))];
        state.NodeFallback = log.NodeFallback();
    }

    private static int[] MostTakenFrom(AllocatorState state, TraceReplayRecording? recording)
    {
        int[] nodes = [.. state.Zones.Select(z => z.Node).Distinct()];
        long[,] taken = new long[state.CpuCount, nodes.Length];
        foreach (TraceStepEvent e in recording is null ? [] : recording.Events)
        {
            ZoneState? zone = e.Step == TraceStep.Allocate ? state.Zones.Find(z => e.Pfn >= z.StartPfn && e.Pfn < z.StartPfn + z.SpannedPages) : null;
            if (zone is not null)
            {
                taken[e.Cpu, Array.IndexOf(nodes, zone.Node)]++;
            }
        }

        return [.. Enumerable.Range(0, state.CpuCount).Select(cpu => nodes[Enumerable.Range(0, nodes.Length).MaxBy(i => taken[cpu, i])])];
    }
}
