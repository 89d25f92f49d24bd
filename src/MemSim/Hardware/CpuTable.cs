namespace MemSim.Hardware;

/// <summary>A machine's CPUs: on which of them something is done for a caller, and what they all have to look at. <c>Machine.CpuTable</c>.</summary>
internal sealed class CpuTable
{
    private readonly Machine _machine;
    private readonly List<Cpu> _cpus = [];
    private readonly bool _parallel;

    public CpuTable(Machine machine)
    {
        _machine = machine;
        _parallel = machine.IsParallel;
    }

    /// <summary>The CPUs by number.</summary>
    public IReadOnlyList<Cpu> Cpus => _cpus;

    /// <summary>What CPUs have to look at when their own context is nothing special: the allocator says so.</summary>
    public CpuMode UsualMode { get; private set; } = CpuMode.Observed;

    /// <summary>Whether every request must take the checked way in, on every CPU.</summary>
    public bool ChecksEveryRequest { get; private set; }

    /// <summary>Who has a part in every switch of tasks; null before there are kernel mappings.</summary>
    public ITaskSwitching? TaskSwitching { get; set; }

    public void Add(Cpu cpu) => _cpus.Add(cpu);

    /// <summary>Tells all CPUs what they have to look at from now on.</summary>
    public void UpdateModes(CpuMode usual, bool checksEveryRequest)
    {
        UsualMode = usual;
        ChecksEveryRequest = checksEveryRequest;
        foreach (Cpu cpu in _cpus)
        {
            cpu.Context.UpdateMode();
        }
    }

    /// <summary>Code that the kernel calls must not call back.</summary>
    /// <exception cref="KernelBugException">It did, whatever the policy: there is nothing sensible to go on with.</exception>
    public void RefuseReentry()
    {
        if (_machine.Callouts.IsInUserCode)
        {
            _machine.Bugs.Reentered(_cpus[0]);
            throw new InvalidOperationException("code that the kernel called must not call back into it");
        }
    }

    /// <summary>
    /// The CPU on which something is done for a caller who names none: the first that is online; on a machine with parallel CPUs the one on which the calling host thread last ran a task.
    /// </summary>
    /// <param name="likely">The CPU to take where no two threads drive any, and else if it is the caller's.</param>
    /// <exception cref="InvalidOperationException">The thread never ran a task, and another one runs a task on the first CPU: two threads must not drive one CPU.</exception>
    public Cpu CallersCpu(Cpu? likely = null)
    {
        RefuseReentry();
        Cpu? first = null;
        int thread = _parallel ? Environment.CurrentManagedThreadId : 0;
        if (likely is not null && (!_parallel || likely.Context.Driver == thread))
        {
            return likely;
        }

        foreach (Cpu cpu in _cpus)
        {
            if (_parallel && cpu.Context.Driver == thread)
            {
                return cpu;
            }

            first = first is null && cpu.IsOnline ? cpu : first;
        }

        return first is null
            ? throw new InvalidOperationException("no CPU is online")
            : _parallel && !first.Context.IsIdle
            ? throw new InvalidOperationException($"this call names no CPU, its host thread runs on none, and on CPU {first.Id} another thread runs {first.Current}: say which CPU, or make the call on one (Cpu.Run)")
            : first;
    }

    /// <summary>The CPU on which something is done to this machine: CPU 0 when none is named. Another machine's would mix up both machines' memory.</summary>
    public Cpu Own(Cpu? on) =>
        on is null ? _parallel ? CallersCpu() : _cpus[0] : ReferenceEquals(on.Machine, _machine) ? on : throw new ArgumentException($"CPU {on.Id} belongs to another machine", nameof(on));
}
