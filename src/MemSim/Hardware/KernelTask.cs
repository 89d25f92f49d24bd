namespace MemSim;

/// <summary>The per-task flags that the allocators look at (<c>PF_*</c> and the OOM victim mark).</summary>
[Flags]
public enum TaskFlags
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary><c>PF_MEMALLOC</c>: may use all reserves, must not reclaim.</summary>
    MemAlloc = 1,

    /// <summary><c>PF_MEMALLOC_NOIO</c>: allocations behave as if without <see cref="Gfp.Io"/> and <see cref="Gfp.Fs"/>.</summary>
    MemAllocNoIo = 2,

    /// <summary><c>PF_MEMALLOC_NOFS</c>: allocations behave as if without <see cref="Gfp.Fs"/>.</summary>
    MemAllocNoFs = 4,

    /// <summary><c>TIF_MEMDIE</c>: chosen by the OOM killer, may use half of the min watermark.</summary>
    OomVictim = 8,

    /// <summary>A real-time task: in process context it has the rights of <see cref="Gfp.High"/> when it cannot get memory.</summary>
    RealTime = 16,

    /// <summary><c>PF_MEMALLOC_PIN</c>: allocations are not for movable zones and CMA, because they will be pinned for long.</summary>
    MemAllocPin = 32,
}

/// <summary>A task: a process or kernel thread, as far as memory allocation is concerned.</summary>
public partial class KernelTask
{
    private MemoryPolicy? _policy;
    private TaskFlags _flags;
    private ulong _allowedNodes = ulong.MaxValue;

    /// <summary>Creates a task.</summary>
    /// <param name="name">Its name (<c>comm</c>).</param>
    /// <param name="pid">Its process id.</param>
    public KernelTask(string name, int pid)
    {
        ArgumentNullException.ThrowIfNull(name);
        Name = name;
        Pid = pid;
    }

    /// <summary>The task's name.</summary>
    public string Name { get; internal set; }

    /// <summary>The task's process id.</summary>
    public int Pid { get; }

    /// <summary>The task's flags; the scopes of <see cref="Cpu"/> set some of them for a while.</summary>
    public TaskFlags Flags
    {
        get => _flags;
        set
        {
            _flags = value;
            RunsOn?.Context.UpdateMode();
        }
    }

    /// <summary>The NUMA policy of the task; null is local allocation.</summary>
    public MemoryPolicy? Policy
    {
        get => _policy;
        set
        {
            _policy = value;
            RunsOn?.Context.UpdateMode();
        }
    }

    /// <summary>The nodes it may have memory of, a bit each (<c>mems_allowed</c>): those of its cgroup's cpuset; all where there is none.</summary>
    public ulong AllowedNodes
    {
        get => _allowedNodes;
        internal set
        {
            _allowedNodes = value;
            RunsOn?.Context.UpdateMode();
        }
    }

    /// <summary>The machine it lives on, when that is settled: a process's, that of its stack, that on which it runs.</summary>
    internal virtual Machine? Home => BoundTo ?? RunsOn?.Machine;

    /// <summary>The machine that gave it something to keep; null while none did.</summary>
    internal Machine? BoundTo { get; set; }

    /// <summary>The CPU the task runs on; null while it does not.</summary>
    internal Cpu? RunsOn { get; set; }

    /// <summary>The memory cgroup it is in, by number; 0 is the root.</summary>
    internal int CgroupId { get; set; }

    /// <summary>Pages it charged above <c>memory.high</c> since it was last in user mode (<c>memcg_nr_pages_over_high</c>).</summary>
    internal long PagesOverHigh { get; set; }

    /// <summary>The number of the page at whose fault it was slowed last; 0 for none.</summary>
    internal ulong SlowedAtPage { get; set; }

    internal bool NeedsAttention => _flags != TaskFlags.None || _policy is not null || _allowedNodes != ulong.MaxValue;

    /// <summary>Called when the task starts to run on a CPU: a process loads its page tables, a kernel thread goes on with those that are loaded (lazy TLB).</summary>
    internal virtual void Enter(Cpu cpu) => cpu.MmuOrNull?.LeaveProcess();

    /// <summary>Called when the task goes on on a CPU that somebody else had meanwhile, and when it asks for memory to be reclaimed: it has used its own until now.</summary>
    internal virtual void NoteRan()
    {
    }

    /// <summary>Called when a task that was killed may end at last.</summary>
    internal virtual void EndKilled(Cpu cpu)
    {
    }

    /// <summary>Called when the task no longer runs on a CPU because another one took its place.</summary>
    internal virtual void Left(Cpu cpu)
    {
    }

    /// <summary>The task as <c>name:pid</c>.</summary>
    public override string ToString() => $"{Name}:{Pid}";
}
