namespace MemSim.Observability;

/// <summary>Makes allocations and copies from and to processes fail on purpose (<c>fail_page_alloc</c>, <c>failslab</c>, <c>fail_usercopy</c>), and tries out what code does when they do.</summary>
/// <remarks>Costs nothing while no rule is armed. A request made to fail writes no allocation failure report, as in the kernel.</remarks>
public sealed class FaultInjection
{
    private readonly Machine _machine;

    internal FaultInjection(Machine machine) => _machine = machine;

    /// <summary>Whether a rule is armed.</summary>
    public bool IsArmed => _machine.Hooks.FaultInjector.IsArmed;

    /// <summary>The rules at work, oldest first; those of boot parameters (<c>fail_page_alloc=</c>, <c>failslab=</c>, <c>fail_usercopy=</c>) are armed once the boot is over.</summary>
    public IReadOnlyList<ArmedFault> Armed => _machine.Hooks.FaultInjector.Armed;

    /// <summary>Arms a rule until what is returned is disposed. Several may be armed; each counts every request.</summary>
    /// <param name="rule">The rule.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number of the rule is out of range.</exception>
    public ArmedFault Arm(FaultRule rule)
    {
        ArgumentNullException.ThrowIfNull(rule);
        ArgumentOutOfRangeException.ThrowIfLessThan(rule.First, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(rule.Interval, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(rule.Times, -1);
        ArgumentOutOfRangeException.ThrowIfLessThan(rule.Probability, 0);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rule.Probability, 100);
        ArgumentOutOfRangeException.ThrowIfLessThan(rule.Space, 0);
        _machine.ThrowIfDisposed();
        return _machine.Hooks.FaultInjector.Arm(rule);
    }

    /// <summary>Ends all rules.</summary>
    public void Clear() => _machine.Hooks.FaultInjector.Clear();

    /// <summary>Runs an action again and again: the first time its first allocation fails, then its second, and so on, until each has failed once. After each run the machine is verified and nothing may have leaked.</summary>
    /// <param name="action">What to try out. It meets failures as its own code would and gives back what it got, whether it succeeded or not; what it throws ends the loop.</param>
    /// <param name="rule">Which allocations fail; null for all. First and times are the loop's.</param>
    /// <param name="atMost">Runs after which the loop gives up.</param>
    /// <returns>What failed, in order: one failure a run.</returns>
    /// <remarks>
    /// A run leaves things behind that spare the next one allocations, such as slabs with free objects. So at the end the requests of a run without failures are compared with what had failed at
    /// their places, and what had not is tried again.
    /// </remarks>
    /// <exception cref="FaultLoopException">The action threw, something leaked, the machine is inconsistent, or there was no end. The message says which allocation had failed.</exception>
    public IReadOnlyList<InjectedFault> Each(Action action, FaultRule? rule = null, int atMost = 10_000)
    {
        ArgumentNullException.ThrowIfNull(action);
        ArgumentOutOfRangeException.ThrowIfLessThan(atMost, 1);
        FaultLoop loop = new(_machine, action, rule ?? new FaultRule(), atMost);
        loop.Run();
        return loop.Faults;
    }
}

/// <summary>What code did when an allocation was made to fail was wrong.</summary>
public sealed class FaultLoopException : Exception
{
    /// <summary>Creates the exception.</summary>
    public FaultLoopException()
    {
    }

    /// <summary>Creates the exception.</summary>
    /// <param name="message">What is wrong.</param>
    public FaultLoopException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception.</summary>
    /// <param name="message">What is wrong.</param>
    /// <param name="innerException">What led to it.</param>
    public FaultLoopException(string message, Exception innerException)
        : base(message, innerException)
    {
    }

    /// <summary>Creates the exception.</summary>
    /// <param name="fault">The allocation that had failed; null when none had.</param>
    /// <param name="innerException">What happened then.</param>
    public FaultLoopException(InjectedFault? fault, Exception innerException)
        : base((fault is null ? "without a failure" : $"with a failure of {fault}") + ": " + (innerException ?? throw new ArgumentNullException(nameof(innerException))).Message, innerException) => Fault = fault;

    /// <summary>The allocation that had failed; null when none had.</summary>
    public InjectedFault? Fault { get; }
}
