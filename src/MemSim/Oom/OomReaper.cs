using System.Diagnostics;
using MemSim.Background;

namespace MemSim.Oom;

/// <summary>The kernel thread that takes the memory of victims that do not come to die (<c>oom_reaper</c>).</summary>
/// <remarks>As 6.1 does it: private memory of all areas but huge pages and device memory, locked memory included, since unmapping unlocks it.</remarks>
internal sealed class OomReaper(OomKiller killer, Machine machine) : BackgroundTask("oom_reaper", 2 + machine.Cpus.Count, null)
{
    private readonly Queue<Process> _victims = [];

    /// <summary>A victim to be reaped.</summary>
    public void Add(Process victim)
    {
        Debug.Assert((victim.Flags & TaskFlags.OomVictim) != 0, "who is reaped was killed");
        _victims.Enqueue(victim);
    }

    public override void Run(Cpu cpu)
    {
        while (_victims.TryDequeue(out Process? victim))
        {
            Reap(cpu, victim);
        }
    }

    /// <summary>Runs at once, lent the CPU.</summary>
    public void RunNow(Cpu cpu)
    {
        using (new BackgroundScope(cpu, Task))
        {
            Run(cpu);
        }
    }

    private void Reap(Cpu cpu, Process victim)
    {
        if (victim.MmOrNull is not { IsReaped: false } mm)
        {
            killer.Trace.SkipTaskReaping(cpu, victim.Pid);
            return;
        }

        killer.Trace.StartTaskReaping(cpu, victim.Pid);
        mm.Reap(cpu);
        killer.Trace.FinishTaskReaping(cpu, victim.Pid);
        killer.Say(OomReportText.Reaped(OomKiller.TaskOf(victim)));
    }
}
