using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;

namespace MemSim.Diagnostics;

/// <summary>Keeps code of the user's that the kernel calls in the middle of its work from breaking that work: receivers of tracepoints, owners of movable pages.</summary>
/// <remarks>
/// What such code throws waits until the outermost operation is over and is thrown there; a receiver that threw is detached. Calls that would change the machine
/// are refused while it runs: the kernel holds locks there, and its lists are half way between two states.
/// </remarks>
internal sealed class Callouts : IReopened
{
    /// <summary>Of each host thread by its number; null where one drives the machine.</summary>
    [NotState("a host thread's")]
    private State?[]? _states;
    // Guards that _states grows once at a time; what is in it is each host thread's own.
    [NotState("a host thread's")]
    private Lock _growing = null!;
    private readonly State _single = new();
    private readonly bool _isParallel;
    private volatile bool _hasFailure;

    private readonly Func<string> _driversOfCpus;

    public Callouts(bool parallel, Func<string> driversOfCpus)
    {
        _driversOfCpus = driversOfCpus;
        _isParallel = parallel;
        Reopen();
        Drivers = parallel ? null : new DriverGuard("this machine", "one thread at a time may use a machine; MachineSpec.WithParallelCpus() lets several drive a CPU each.");
        Drivers?.Note();
    }

    /// <inheritdoc/>
    public void Reopen()
    {
        _growing = new Lock();
        _states = _isParallel ? new State?[Environment.ProcessorCount * 2] : null;
    }

    /// <summary>A line for a report when more than one host thread drove the machine or one of its CPUs.</summary>
    public string DescribeDrivers()
    {
        if (Drivers is null)
        {
            return _driversOfCpus();
        }

        Drivers.Note();
        return Drivers.Describe();
    }

    /// <summary>Who drives the machine; null where each CPU has its own driver.</summary>
    public DriverGuard? Drivers { get; }

    /// <summary>What is in progress on the calling host thread.</summary>
    public State Current
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _states is null ? _single : OfThread(_states);
    }

    // A thread's number is asked for without a call. Who gets the number of a thread that has ended finds a state in which nothing is in progress.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private State OfThread(State?[] states)
    {
        int thread = Environment.CurrentManagedThreadId;
        return (uint)thread < (uint)states.Length && states[thread] is { } state ? state : FirstOfThread(thread);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private State FirstOfThread(int thread)
    {
        lock (_growing)
        {
            State?[] states = _states!;
            if (thread >= states.Length)
            {
                Array.Resize(ref states, Math.Max(thread + 1, states.Length * 2));
            }

            State state = states[thread] ??= new State();
            Volatile.Write(ref _states, states);
            return state;
        }
    }

    /// <summary>What is in progress, on a machine that one host thread drives; null where each thread has its own.</summary>
    public State? OfAllThreads => _states is null ? _single : null;

    /// <summary>Whether code of the user's runs now, called by this machine on this host thread.</summary>
    public bool IsInUserCode => Current.UserCode != 0;

    /// <summary>Whether something that was thrown may be waiting; <see cref="MustThrow"/> says whether now is the time.</summary>
    public bool MayHold => _hasFailure;

    /// <summary>Whether something was thrown and nothing is in progress that it would break.</summary>
    public bool MustThrow => _hasFailure && Current is { Depth: 0, Failure: not null };

    /// <summary>An operation begins.</summary>
    /// <exception cref="KernelBugException">Another host thread is in the middle of one, on a machine without parallel CPUs.</exception>
    /// <param name="notesDriver">Whether it is asked which host thread this is: not where asking would be a part of the work that counts.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Begin(bool notesDriver = true)
    {
        if (notesDriver)
        {
            Drivers?.Enter();
        }

        Current.Depth++;
    }

    /// <summary>An operation is over; whoever can undo it asks <see cref="MustThrow"/>.</summary>
    /// <param name="notesDriver">As it began.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void End(bool notesDriver = true)
    {
        Current.Depth--;
        if (notesDriver)
        {
            Drivers?.Leave();
        }
    }

    public OperationScope Enter() => new(this);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void BeginUserCode() => Current.UserCode++;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void EndUserCode() => Current.UserCode--;

    /// <summary>Holds what was thrown; of several the first.</summary>
    public void Failed(Exception e)
    {
        Current.Failure ??= ExceptionDispatchInfo.Capture(e);
        _hasFailure = true;
    }

    /// <summary>Throws what is held, if nothing is in progress.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void ThrowIfIdle()
    {
        if (_hasFailure)
        {
            ThrowHeld();
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void ThrowHeld()
    {
        if (MustThrow)
        {
            State state = Current;
            ExceptionDispatchInfo failure = state.Failure!;
            state.Failure = null;
            _hasFailure = _states is not null;
            failure.Throw();
        }
    }

    /// <summary>What is in progress on a host thread.</summary>
    internal sealed class State
    {
        [NotState("keeps each thread's counts on cache lines of their own")]
        internal Padding Before;

        /// <summary>Operations that must not be left half way, one in the other.</summary>
        public int Depth;

        /// <summary>Calls of the user's code, one in the other.</summary>
        public int UserCode;

        public ExceptionDispatchInfo? Failure;

        [NotState("keeps each thread's counts on cache lines of their own")]
        internal Padding After;
    }

    [InlineArray(8)]
    internal struct Padding
    {
        private long _words;
    }

    /// <summary>An operation that must not be left half way; what user code threw meanwhile is thrown at its end.</summary>
    public readonly ref struct OperationScope
    {
        private readonly Callouts _callouts;

        public OperationScope(Callouts callouts)
        {
            _callouts = callouts;
            callouts.Begin();
        }

        public void Dispose()
        {
            _callouts.End();
            _callouts.ThrowIfIdle();
        }
    }
}
