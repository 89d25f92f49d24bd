using System.Globalization;
using System.Text;
using MemSim.Kernels;
using MemSim.Slab;
using MemSim.Zones;

namespace MemSim.Oom;

/// <summary>The lines of the OOM killer's report as kernel 6.1 prints them, without time stamps and call trace.</summary>
internal static class OomReportText
{
    public const string NobodyLeft = "Out of memory and no killable processes...\n";

    private const int ToKiB = PageGeometry.PageShift - 10;

    /// <summary>Who asked for memory that was not there, and where (<c>dump_header()</c>).</summary>
    public static string Header(Cpu cpu, Gfp gfp, int order, int scoreAdj) => string.Create(CultureInfo.InvariantCulture,
        $"{cpu.Current.Name} invoked oom-killer: gfp_mask={GfpText.FormatWithHex(gfp, cpu.Machine.Personality)}, order={order}, oom_score_adj={scoreAdj}\n{cpu.Machine.Hooks.FailureReports.CpuLine(cpu)}");

    /// <summary>The table of all processes that could have been chosen (<c>dump_tasks()</c>).</summary>
    public static void AppendTable(StringBuilder text, IEnumerable<OomTask> tasks, KernelPersonality kernel)
    {
        bool split = kernel.Views.ReportsNameUser;
        text.Append(CultureInfo.InvariantCulture, $"Tasks state (memory values in pages):\n[  pid  ]   uid  tgid total_vm      rss {(split ? "rss_anon rss_file rss_shmem " : "")}pgtables_bytes swapents oom_score_adj name\n");
        foreach (OomTask t in tasks)
        {
            text.Append(CultureInfo.InvariantCulture, $"[{t.Pid,7}] {t.Uid,5} {t.Tgid,5} {t.TotalPages,8} {t.ResidentPages,8}");
            if (split)
            {
                text.Append(CultureInfo.InvariantCulture, $" {t.AnonPages,8} {t.FilePages,8} {t.SharedMemoryPages,9}");
            }

            text.Append(CultureInfo.InvariantCulture, $" {t.PageTableBytes,8} {t.SwapEntries,8}         {t.ScoreAdj,5} {t.Name}\n");
        }
    }

    /// <summary>The line that scripts look for (<c>dump_oom_summary()</c>).</summary>
    /// <param name="constraint">What kept the request from using all memory.</param>
    /// <param name="nodeMask">The nodes of the memory policy; null for none.</param>
    /// <param name="cpuset">The cpuset of the task that wanted memory.</param>
    /// <param name="allowed">The nodes the task may use at all.</param>
    /// <param name="limiting">The cgroup whose limit it is; null when the machine is out of memory.</param>
    /// <param name="own">The victim's cgroup.</param>
    /// <param name="victim">The process to be killed.</param>
    public static string Summary(OomConstraint constraint, ulong? nodeMask, string cpuset, ulong allowed, Cgroup? limiting, Cgroup own, in OomTask victim)
    {
        string name = constraint switch { OomConstraint.Cpuset => "CPUSET", OomConstraint.MemoryPolicy => "MEMORY_POLICY", OomConstraint.Cgroup => "MEMCG", _ => "NONE" };
        string origin = limiting is null ? "global_oom" : "oom_memcg=" + limiting.Path;
        string nodes = nodeMask is { } mask ? NodeMask.Format(mask) : "(null)";
        return string.Create(CultureInfo.InvariantCulture,
            $"oom-kill:constraint=CONSTRAINT_{name},nodemask={nodes},cpuset={cpuset},mems_allowed={NodeMask.Format(allowed)},{origin},task_memcg={own.Path},task={victim.Name},pid={victim.Pid},uid={victim.Uid}\n");
    }

    /// <summary>The state of a cgroup at its limit, in place of that of the machine (<c>mem_cgroup_print_oom_meminfo()</c>).</summary>
    public static string OfCgroup(Cgroup cgroup)
    {
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"memory: usage {cgroup.Memory.Usage << ToKiB}kB, limit {cgroup.Memory.Max << ToKiB}kB, failcnt {cgroup.Memory.Failures}\n");
        text.Append(CultureInfo.InvariantCulture, $"swap: usage {cgroup.Swap.Usage << ToKiB}kB, limit {cgroup.Swap.Max << ToKiB}kB, failcnt {cgroup.Swap.Failures}\n");
        text.Append(CultureInfo.InvariantCulture, $"Memory cgroup stats for {cgroup.Path}:\n");
        text.Append(cgroup["memory.stat"]);
        if (cgroup.Tree.Rows >= RowSet.Of7_0)
        {
            long min = 0;
            long low = 0;
            foreach (Cgroup child in cgroup.Below)
            {
                min += Math.Min(child.Memory.Usage, child.MinPages);
                low += Math.Min(child.Memory.Usage, child.LowPages);
            }

            text.Append(CultureInfo.InvariantCulture, $"Memory cgroup min protection {min << ToKiB}kB -- low protection {low << ToKiB}kB\n");
        }

        return text.ToString();
    }

    /// <summary>All processes of a cgroup go together.</summary>
    public static string Group(Cgroup cgroup) => $"Tasks in {cgroup.Path} are going to be killed due to memory.oom.group set\n";

    /// <summary>The kill itself (<c>__oom_kill_process()</c>).</summary>
    /// <param name="message">Why: "Out of memory" and the like.</param>
    /// <param name="t">The process that is killed.</param>
    public static string Killed(string message, in OomTask t) => string.Create(CultureInfo.InvariantCulture,
        $"{message}: Killed process {t.Pid} ({t.Name}) total-vm:{t.TotalPages << ToKiB}kB, anon-rss:{t.AnonPages << ToKiB}kB, file-rss:{t.FilePages << ToKiB}kB,"
        + $" shmem-rss:{t.SharedMemoryPages << ToKiB}kB, UID:{t.Uid} pgtables:{t.PageTableBytes >> 10}kB oom_score_adj:{t.ScoreAdj}\n");

    /// <summary>What the reaper left of a process.</summary>
    public static string Reaped(in OomTask t) => string.Create(CultureInfo.InvariantCulture,
        $"oom_reaper: reaped process {t.Pid} ({t.Name}), now anon-rss:{t.AnonPages << ToKiB}kB, file-rss:{t.FilePages << ToKiB}kB, shmem-rss:{t.SharedMemoryPages << ToKiB}kB\n");

    /// <summary>The reaper gave up.</summary>
    public static string NotReaped(int pid, string name) => string.Create(CultureInfo.InvariantCulture, $"oom_reaper: unable to reap pid:{pid} ({name})\n");

    /// <summary>Where the slab caches that cannot be shrunk hold more than all processes (<c>dump_unreclaimable_slab()</c>).</summary>
    public static void AppendUnreclaimableSlabs(StringBuilder text, SlabAllocator slab)
    {
        text.Append("Unreclaimable slab info:\nName                      Used          Total\n");
        foreach (KmemCache cache in slab.Caches)
        {
            CacheCounts counts = slab.Backend.Count(cache);
            if ((cache.Flags & SlabFlags.ReclaimAccount) == 0 && counts.TotalObjects > 0)
            {
                text.Append(CultureInfo.InvariantCulture, $"{cache.Name,-17} {counts.ActiveObjects * cache.Size / 1024,10}KB {counts.TotalObjects * cache.Size / 1024,10}KB\n");
            }
        }
    }

    /// <summary>The header of a panic that <c>panic_on_oom</c> asks for.</summary>
    /// <param name="compulsory">Whether it happens whatever the constraint (<c>panic_on_oom</c> is 2).</param>
    public static string PanicOnOom(bool compulsory) => $"Kernel panic - not syncing: Out of memory: {(compulsory ? "compulsory" : "system-wide")} panic_on_oom is enabled";
}
