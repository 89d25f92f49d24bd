using System.Diagnostics;
using System.Globalization;
using System.Text;
using MemSim.Lru;
using MemSim.Reclaim;
using MemSim.Statistics;
using MemSim.VirtualMemory;
using Microsoft.Extensions.Logging;

namespace MemSim.Oom;

/// <summary>Ends a process when a request that must be served finds no memory and reclaim none to take (<c>out_of_memory()</c>, kernel 6.1).</summary>
/// <remarks>
/// A process that no CPU runs dies at once, and its memory is free when the call returns. The one that asks dies on its way back to user mode;
/// until then it may use the reserves. One that another CPU runs dies when that CPU next faults or leaves it; if memory runs out again before, the reaper takes
/// its memory: time passes here only while somebody waits for a device, so the two seconds the kernel gives a victim are over when memory is asked for in vain again.
/// </remarks>
internal sealed partial class OomKiller : IOomKiller
{
    private const int MaxReports = 16;

    private readonly Machine _machine;
    private readonly ILogger _logger;
    private readonly OomReaper _reaper;
    private readonly Queue<string> _reports = [];

    public OomKiller(Machine machine)
    {
        _machine = machine;
        _logger = machine.Bugs.LoggerFactory.CreateLogger("MemSim.Oom");
        _reaper = new OomReaper(this, machine);
    }

    public OomTracepoints Trace { get; } = new();

    /// <summary>What it said, oldest first; the last sixteen reports. The kernel limits their rate; here each is kept.</summary>
    public IReadOnlyCollection<string> Reports => _reports;

    /// <summary>How often it spoke.</summary>
    public long Said { get; private set; }

    /// <summary>The processes killed since the boot.</summary>
    public long Kills { get; private set; }

    /// <summary>Finds somebody whose end helps the request.</summary>
    /// <returns>Whether memory became free or will: the request is to be tried again.</returns>
    /// <exception cref="KernelBugException">Nobody may be killed, or the machine is set up to panic.</exception>
    public bool OutOfMemory(in ReclaimRequest request)
    {
        AddressSpaces? mm = _machine.Mm is { WasUsed: true } used ? used : null;
        if (mm is null)
        {
            // Nobody was ever made that could be killed: somebody tests allocators, and wants the failure.
            return false;
        }

        using OwnersLock.Scope scope = mm.Enter();
        Cpu cpu = request.Cpu;
        Process? current = cpu.Current as Process;
        if (current is { IsDying: true, MmOrNull.IsReaped: false })
        {
            Mark(cpu, current);
            return true;
        }

        // Killing does not make up for reclaim that must not enter file systems: others, who may, will do better.
        if ((request.Gfp & Gfp.Fs) == 0)
        {
            return true;
        }

        OomCase why = new(_machine, request);
        PanicIfWanted(why);
        if (Sysctl("oom_kill_allocating_task") != 0 && current is { MmOrNull: not null } && current.OomScoreAdj != OomBadness.ScoreAdjMin)
        {
            Kill(why, current, "Out of memory (oom_kill_allocating_task)");
            return true;
        }

        Process? victim = Select(why, out bool waits);
        if (waits)
        {
            return true;
        }

        if (victim is null)
        {
            Report(why, null, OomReportText.NobodyLeft);
            Panic("Kernel panic - not syncing: System is deadlocked on memory", _reports.Last());
            return false;
        }

        Kill(why, victim, "Out of memory");
        return true;
    }

    /// <inheritdoc/>
    public bool OutOfMemory(Cpu cpu, Cgroup cgroup, Gfp gfp, int order)
    {
        using OwnersLock.Scope scope = _machine.Mm!.Enter();
        if (cpu.Current is Process { IsDying: true, MmOrNull.IsReaped: false } dying)
        {
            Mark(cpu, dying);
            return true;
        }

        OomCase why = new(_machine, cpu, cgroup, gfp, order);
        Process? victim = Select(why, out bool waits);
        if (waits)
        {
            return true;
        }

        if (victim is null)
        {
            Report(why, null, OomReportText.NobodyLeft);
            return false;
        }

        Cgroup? group = GroupOf(victim, cgroup);
        Kill(why, victim, CgroupMessage);
        if (group is not null)
        {
            KillGroup(why, group);
        }

        return true;
    }

    private const string CgroupMessage = "Memory cgroup out of memory";

    /// <summary>The highest cgroup, from the victim's up to the one out of memory, whose processes are to go together (<c>mem_cgroup_get_oom_group()</c>).</summary>
    private static Cgroup? GroupOf(Process victim, Cgroup limiting)
    {
        Cgroup? group = null;
        for (Cgroup? above = victim.Cgroup; above is { IsRoot: false }; above = above.Parent)
        {
            group = above.OomGroup ? above : group;
            if (ReferenceEquals(above, limiting))
            {
                break;
            }
        }

        return group;
    }

    /// <summary>Kills all of a group, the victim once more: that is how the kernel counts it.</summary>
    private void KillGroup(OomCase why, Cgroup group)
    {
        group.Raise(Cgroups.CgroupEvent.OomGroupKill);
        Say(OomReportText.Group(group));
        foreach (Process process in _machine.Processes.Where(p => p.Cgroup.IsBelow(group) && p.OomScoreAdj != OomBadness.ScoreAdjMin).ToList())
        {
            if (process.MmOrNull is not null)
            {
                Say(OomReportText.Killed(CgroupMessage, TaskOf(process)));
                KillSilently(why, process);
            }
        }
    }

    /// <summary>The badness of a process as <c>/proc/pid/oom_score</c> shows it.</summary>
    public long ScoreOf(Process process)
    {
        long pages = OomCase.AllPages(_machine);
        return OomBadness.Score(Badness(process, pages), pages);
    }

    /// <summary>The figures of a process; of one without memory all are 0.</summary>
    public static OomTask TaskOf(Process process)
    {
        MemoryDescriptor? mm = process.MmOrNull;
        return new OomTask
        {
            Pid = process.Pid,
            Tgid = process.Pid,
            Name = process.Name,
            ScoreAdj = process.OomScoreAdj,
            TotalPages = mm?.TotalPages ?? 0,
            AnonPages = mm?.AnonPages ?? 0,
            FilePages = mm?.FilePages ?? 0,
            SharedMemoryPages = mm?.SharedMemoryPages ?? 0,
            SwapEntries = mm?.SwapEntries ?? 0,
            PageTableBytes = mm?.PageTableBytes ?? 0,
        };
    }

    /// <summary>The process with the highest badness, the youngest of several.</summary>
    /// <param name="why">The request.</param>
    /// <param name="waits">Whether an earlier victim is on its way out: nobody else must die yet.</param>
    private Process? Select(OomCase why, out bool waits)
    {
        waits = false;
        Process? chosen = null;
        long worst = OomBadness.Unkillable;
        foreach (Process process in _machine.Processes)
        {
            if (process.MmOrNull is not { } mm || !why.Concerns(process))
            {
                continue;
            }

            if ((process.Flags & TaskFlags.OomVictim) != 0)
            {
                if (mm.IsReaped)
                {
                    continue;
                }

                waits = true;
                Reap(why.Cpu, process);
                return null;
            }

            long badness = Badness(process, why.AllowedPages);
            if (badness != OomBadness.Unkillable && badness >= worst)
            {
                chosen = process;
                worst = badness;
            }
        }

        Debug.Assert(chosen is null or { MmOrNull.IsReaped: false, OomScoreAdj: > OomBadness.ScoreAdjMin, Pid: not 1 }, "a victim has memory to give, and may be killed");
        return chosen;
    }

    /// <summary>A child of vfork is spared: it is its parent whose memory counts.</summary>
    private static long Badness(Process process, long allowedPages) =>
        process.MmOrNull is null or { IsReaped: true } || process is { Parent.WaitsForVfork: true } && ReferenceEquals(process.Parent.MmOrNull, process.MmOrNull)
            ? OomBadness.Unkillable
            : OomBadness.Of(TaskOf(process), allowedPages);

    private void Kill(OomCase why, Process victim, string message)
    {
        if (victim.IsDying)
        {
            Mark(why.Cpu, victim);
            return;
        }

        Report(why, victim, OomReportText.Killed(message, TaskOf(victim)));
        KillSilently(why, victim);
    }

    private void KillSilently(OomCase why, Process victim)
    {
        _machine.Events.Count(VmEvent.OomKill);
        if (_machine.Hooks.Charges is not null)
        {
            victim.Cgroup.Raise(Cgroups.CgroupEvent.OomKill);
        }

        Kills++;
        Debug.Assert(_machine.Events[VmEvent.OomKill] >= Kills, "each kill is counted");
        MemoryDescriptor mm = victim.Mm;
        Mark(why.Cpu, victim);

        // Whoever shares the memory would keep it: they go too.
        List<Process> sharers = [.. _machine.Processes.Where(p => !ReferenceEquals(p, victim) && ReferenceEquals(p.MmOrNull, mm))];
        if (victim.RunsOn is null && sharers.TrueForAll(p => p.RunsOn is null))
        {
            // It ends when the fault or call that ran out of memory is over, which must not wait that long.
            mm.Reap(why.Cpu);
        }

        victim.Kill(why.Cpu);
        foreach (Process sharer in sharers)
        {
            sharer.Kill(why.Cpu);
        }

        Debug.Assert((victim.Flags & TaskFlags.OomVictim) != 0 && (victim.IsDying || victim.MmOrNull is null), "a victim is marked, and on its way out");
    }

    /// <summary>The task may use the reserves from now on (<c>mark_oom_victim()</c>).</summary>
    private void Mark(Cpu cpu, Process victim)
    {
        if ((victim.Flags & TaskFlags.OomVictim) == 0)
        {
            victim.Flags |= TaskFlags.OomVictim;
            Trace.MarkVictim(cpu, TaskOf(victim).ToEvent());
        }
    }

    /// <summary>Somebody waits in vain for a victim's end: the reaper's time has come.</summary>
    private void Reap(Cpu cpu, Process victim)
    {
        if (ReferenceEquals(cpu.Current, victim))
        {
            return;
        }

        Trace.WakeReaper(cpu, victim.Pid);
        _reaper.Add(victim);
        _machine.Background.Tasks.Wake(cpu, _reaper);
        if (_reaper.IsPending && !_machine.Background.Tasks.IsRunning)
        {
            // Whoever waits for memory sleeps, so the thread runs even where a test wants to run the others itself.
            _reaper.RunNow(cpu);
        }
    }

    private void PanicIfWanted(OomCase why)
    {
        int wanted = Sysctl("panic_on_oom");
        if (wanted == 2 || (wanted == 1 && why.Constraint == OomConstraint.None))
        {
            Report(why, null, "");
            Panic(OomReportText.PanicOnOom(compulsory: wanted == 2), _reports.Last());
        }
    }

    private void Panic(string message, string report) => _machine.Bugs.Raise(KernelBugKind.Panic, message, report);

    /// <summary>The report (<c>dump_header()</c>) with the line of the kill.</summary>
    private void Report(OomCase why, Process? victim, string last)
    {
        StringBuilder text = new();
        int adj = (why.Cpu.Current as Process)?.OomScoreAdj ?? 0;
        text.Append(OomReportText.Header(why.Cpu, why.Gfp, why.Order, adj));
        text.Append(why.Cgroup is { } cgroup
            ? OomReportText.OfCgroup(cgroup)
            : _machine.Hooks.FailureReports.MemoryState(why.Cpu, GfpZones.HighestZoneIndex(why.Gfp, _machine.Architecture), why.NodeMask ?? ulong.MaxValue));
        if (why.Cgroup is null && _machine.Slab is var slab && UnreclaimableSlabExceedsUserMemory())
        {
            OomReportText.AppendUnreclaimableSlabs(text, slab);
        }

        if (Sysctl("oom_dump_tasks") != 0)
        {
            OomReportText.AppendTable(text, _machine.Processes.Where(p => p.MmOrNull is not null && why.Concerns(p)).Select(TaskOf), _machine.Personality);
        }

        if (victim is not null)
        {
            text.Append(OomReportText.Summary(why.Constraint, why.NodeMask, Cgroup.CpusetOf(why.Cpu.Current), why.Cpu.Current.AllowedNodes & _machine.ZoneTable.NodeMask, why.Cgroup, victim.Cgroup, TaskOf(victim)));
        }

        Say(text.Append(last).ToString());
    }

    /// <summary>Keeps a text and gives it to the log.</summary>
    public void Say(string text)
    {
        if (_reports.Count == MaxReports)
        {
            _reports.Dequeue();
        }

        _reports.Enqueue(text);
        Debug.Assert(_reports.Count <= MaxReports, "the oldest report goes");
        Said++;
        LogReport(_logger, text);
    }

    private bool UnreclaimableSlabExceedsUserMemory()
    {
        long slab = 0;
        long user = 0;
        foreach (Node node in _machine.Nodes)
        {
            NodeCounters c = node.Counters;
            slab += c.SlabUnreclaimable;
            user += c.ActiveAnon + c.InactiveAnon + c.ActiveFile + c.InactiveFile + c.IsolatedAnon + c.IsolatedFile + c.Unevictable;
        }

        return slab > user;
    }

    private int Sysctl(string name) => int.Parse(_machine.Settings.Sysctls.Get(name), CultureInfo.InvariantCulture);

    [LoggerMessage(EventId = 20, Level = LogLevel.Warning, Message = "{Report}")]
    private static partial void LogReport(ILogger logger, string report);
}
