using MemSim.Lru;
using MemSim.Processes;
using MemSim.VirtualMemory;

namespace MemSim;

/// <summary>The state of a process.</summary>
public enum ProcessState
{
    /// <summary>Alive.</summary>
    Running,

    /// <summary>Ended; its parent has not asked for the exit status yet.</summary>
    Zombie,

    /// <summary>Gone.</summary>
    Dead,
}

/// <summary>A process: a task with an address space of its own.</summary>
/// <remarks>
/// Run it with <see cref="Cpu.Run"/>: accesses to addresses of the user half are then made with user rights, on its page tables, and fault as a program's do;
/// the kernel half stays usable as in a system call.
/// </remarks>
public sealed partial class Process : KernelTask
{
    private int _oomScoreAdj;
    private readonly List<Process> _children = [];
    private readonly AddressSpaces _spaces;

    internal Process(AddressSpaces spaces, string name, int pid, Process? parent, MemoryDescriptor mm, Rlimits limits, TaskMemory memory)
        : base(name, pid)
    {
        _spaces = spaces;
        _memory = memory;
        memory.Attach(this);
        spaces.Machine.Processes.Pids.Tasks.Add(this);
        Parent = parent;
        Limits = limits;
        MmOrNull = mm;
        mm.Owner ??= this;
        parent?._children.Add(this);
    }

    /// <summary>The address space.</summary>
    /// <exception cref="InvalidOperationException">The process has ended.</exception>
    public MemoryDescriptor Mm => MmOrNull ?? throw new InvalidOperationException($"{this} has ended: it has no address space");

    /// <summary>The process that made it; null for one that the machine made, or whose parent is gone.</summary>
    public Process? Parent { get; private set; }

    /// <summary>Its children, oldest first, those that ended and were not waited for included.</summary>
    public IReadOnlyList<Process> Children => _children;

    /// <summary>Whether it runs, has ended, or is gone.</summary>
    public ProcessState State { get; private set; }

    /// <summary>Whether it has not ended yet.</summary>
    public bool IsAlive => State == ProcessState.Running;

    /// <summary>How it ended.</summary>
    public ExitStatus ExitStatus { get; private set; }

    /// <summary>The last signal sent for a bad access; null when there was none.</summary>
    public SignalInfo? LastSignal { get; internal set; }

    /// <summary>What the process does about SIGSEGV and SIGBUS: true when the access is to be tried again. Null: it does nothing, and the access throws <see cref="SignalException"/>.</summary>
    public Func<SignalInfo, bool>? SignalHandler { get; set; }

    /// <summary>Faults that needed no reading (<c>min_flt</c>).</summary>
    public long MinorFaults { get; internal set; }

    /// <summary>Faults that had to read from a device (<c>maj_flt</c>).</summary>
    public long MajorFaults { get; internal set; }

    /// <summary>Its resource limits; children inherit them.</summary>
    public Rlimits Limits
    {
        get => _limits;
        set
        {
            ArgumentNullException.ThrowIfNull(value);
            _limits = value;
            if (MmOrNull is { } mm)
            {
                mm.Limits = value;
            }
        }
    }

    /// <summary>Whether it waits until its vfork child executes a program or ends.</summary>
    public bool WaitsForVfork => _vforkChild is not null;

    internal MemoryDescriptor? MmOrNull { get; private set; }

    private Process? _vforkChild;
    private Process? _vforkParent;
    private Rlimits _limits = new();

    internal Machine Machine => _spaces.Machine;

    internal override Machine? Home => Machine;

    private Cpu DefaultCpu => _spaces.Machine.CpuTable.CallersCpu(RunsOn);

    private Cpu On(Cpu? cpu) => cpu is null ? DefaultCpu : Machine.CpuTable.Own(cpu);

    /// <summary>Makes a child with a copy of the address space (<c>fork()</c>).</summary>
    /// <param name="cpu">The CPU that does it; null for the one the process runs on, else the first.</param>
    /// <returns>The child, or ESRCH (this one has ended), EAGAIN (too many processes), ENOMEM.</returns>
    public Result<Process> Fork(Cpu? cpu = null)
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        cpu = On(cpu);
        if (MmOrNull is not { } own)
        {
            return Errno.ESRCH;
        }

        if (_spaces.Machine.Processes.Pids.Count >= Limits.Processes)
        {
            return Errno.EAGAIN;
        }

        own.RequireForkListeners();
        TaskMemory? memory = TaskMemory.TryTake(_spaces.Machine, cpu);
        if (memory is null)
        {
            return Errno.ENOMEM;
        }

        MemoryDescriptor? mm = own.Fork(cpu);
        if (mm is null)
        {
            memory.GiveBack(cpu);
            return Errno.ENOMEM;
        }

        Process child = Child(mm, memory);
        own.TellUserfaults();
        return child;
    }

    /// <summary>Makes a child that uses this address space until it executes a program or ends; the parent waits so long (<c>vfork()</c>).</summary>
    /// <returns>The child, or ESRCH (this one has ended), EAGAIN, ENOMEM.</returns>
    public Result<Process> Vfork()
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        if (MmOrNull is not { } shared)
        {
            return Errno.ESRCH;
        }

        if (_spaces.Machine.Processes.Pids.Count >= Limits.Processes)
        {
            return Errno.EAGAIN;
        }

        TaskMemory? memory = TaskMemory.TryTake(_spaces.Machine, DefaultCpu);
        if (memory is null)
        {
            return Errno.ENOMEM;
        }

        shared.Users++;
        Process child = Child(shared, memory);
        child._vforkParent = this;
        _vforkChild = child;
        return child;
    }

    /// <summary>Replaces the program: a new, empty address space with a stack and a heap (<c>execve()</c>).</summary>
    /// <param name="name">The new name.</param>
    /// <param name="cpu">The CPU that does it; null for the one the process runs on, else the first.</param>
    /// <returns><see cref="Errno.None"/>, ESRCH (it has ended), or ENOMEM; then the old program goes on.</returns>
    public Errno Exec(string name, Cpu? cpu = null)
    {
        ArgumentNullException.ThrowIfNull(name);
        using OwnersLock.Scope scope = _spaces.Enter();
        cpu = On(cpu);
        if (MmOrNull is not { } old)
        {
            return Errno.ESRCH;
        }

        MemoryDescriptor? fresh = _spaces.Create(cpu, Limits);
        if (fresh is null)
        {
            return Errno.ENOMEM;
        }

        if (fresh.SetUpProgram(cpu) != Errno.None)
        {
            fresh.Exit(cpu);
            return Errno.ENOMEM;
        }

        fresh.InheritMerging(old, isFork: false);
        Name = name.Length > 15 ? name[..15] : name;
        MmOrNull = fresh;
        fresh.Owner = this;
        SignalHandler = null;
        RunsOn?.UseMmu().EnterProcess(fresh.Tables);
        LeaveMm(cpu, old);
        return Errno.None;
    }

    /// <summary>Ends the process with an exit code (<c>exit()</c>).</summary>
    /// <param name="code">The code.</param>
    /// <param name="cpu">The CPU that does it; null for the one the process runs on, else the first.</param>
    public void Exit(int code = 0, Cpu? cpu = null) => Exit(On(cpu), new ExitStatus(code, Signal.None));

    /// <summary>Ends the process (<c>do_exit()</c>): the address space goes with its last user, children lose their parent.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="status">How it ends.</param>
    public void Exit(Cpu cpu, ExitStatus status)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _ = Machine.CpuTable.Own(cpu);
        using OwnersLock.Scope scope = _spaces.Enter();
        if (State != ProcessState.Running)
        {
            return;
        }

        MemoryDescriptor mm = Mm;
        MmOrNull = null;
        ExitStatus = status;
        State = Parent is { State: ProcessState.Running } ? ProcessState.Zombie : ProcessState.Dead;
        LeaveMm(cpu, mm);
        foreach (Process child in _children)
        {
            child.Parent = null;
            child.State = child.State == ProcessState.Zombie ? ProcessState.Dead : child.State;
            child.GiveUpMemory(cpu);
        }

        _children.Clear();
        _spaces.Machine.Processes.Pids.Remove(this);
        GiveUpMemory(cpu);
    }

    /// <summary>Waits for a child that has ended (<c>wait()</c>).</summary>
    /// <returns>The child, or ECHILD when there are no children, EAGAIN when all live.</returns>
    public Result<Process> Wait()
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        foreach (Process child in _children)
        {
            if (child.State == ProcessState.Zombie)
            {
                child.State = ProcessState.Dead;
                _children.Remove(child);
                child.GiveUpMemory(DefaultCpu);
                return child;
            }
        }

        return _children.Count == 0 ? Errno.ECHILD : Errno.EAGAIN;
    }

    /// <summary>Loads its page tables.</summary>
    internal override void Enter(Cpu cpu)
    {
        if (MmOrNull is { } mm)
        {
            mm.Owner = this;
            cpu.UseMmu().EnterProcess(mm.Tables);
            NoteRan();
        }
        else
        {
            base.Enter(cpu);
        }
    }

    /// <summary>A CPU runs on its tables, or goes on after somebody else had it (<c>lru_gen_use_mm()</c>).</summary>
    internal override void NoteRan()
    {
        if (MmOrNull is { } mm)
        {
            mm.RanSinceAging = ulong.MaxValue;
        }
    }

    internal override void EndKilled(Cpu cpu) => Exit(cpu, new ExitStatus(0, DeathSignal));

    private Process Child(MemoryDescriptor mm, TaskMemory memory)
    {
        Process child = new(_spaces, Name, _spaces.Machine.Processes.Pids.Next(), this, mm, Limits, memory) { _oomScoreAdj = _oomScoreAdj, SignalHandler = SignalHandler, CgroupId = CgroupId, MemoryErrorPolicy = MemoryErrorPolicy };
        child.Policy = Policy;
        child.AllowedNodes = AllowedNodes;
        _spaces.Machine.Processes.Pids.Add(child);
        return child;
    }

    private void LeaveMm(Cpu cpu, MemoryDescriptor mm)
    {
        if (_vforkParent is { } parent)
        {
            parent._vforkChild = null;
            _vforkParent = null;
        }

        if (--mm.Users == 0)
        {
            mm.Exit(cpu);
        }
        else if (ReferenceEquals(mm.Owner, this))
        {
            mm.Owner = null;
        }
    }
}
