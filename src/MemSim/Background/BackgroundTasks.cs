using System.Diagnostics;

namespace MemSim.Background;

/// <summary>Runs the machine's background threads, one after the other, in the order in which they were woken.</summary>
/// <remarks>
/// A thread woken by another one runs after it, never inside it. On a machine with parallel CPUs they run on the CPU that woke them, because a host thread may
/// drive no other; else on the first CPU of their node that is online.
/// </remarks>
internal sealed class BackgroundTasks
{
    private readonly Machine _machine;
    // Guards _isRunning: one host thread runs the woken threads, the others do not wait for it.
    private readonly Lock _running = new();
    // Guards itself, and whether a thread is in it.
    private readonly Queue<BackgroundTask> _woken = [];
    private bool _isRunning;

    public BackgroundTasks(Machine machine) => _machine = machine;

    public BackgroundWork Mode { get; set; } = BackgroundWork.Inline;

    /// <summary>Whether one of them runs now, on a CPU lent by whoever was there.</summary>
    public bool IsRunning => _isRunning;

    /// <summary>Whether a thread was woken and has not run yet.</summary>
    public bool HasPending
    {
        get
        {
            lock (_woken)
            {
                return _woken.Count != 0;
            }
        }
    }

    /// <summary>Wakes a thread; with <see cref="BackgroundWork.Inline"/> it has run when this returns, unless another one runs already.</summary>
    public void Wake(Cpu cpu, BackgroundTask task)
    {
        if (_machine.Background.SharedTime?.Wake(task) == true)
        {
            return;
        }

        lock (_woken)
        {
            if (task.IsPending)
            {
                return;
            }

            Debug.Assert(!_woken.Contains(task), "who waits for his turn says so");
            task.IsPending = true;
            _woken.Enqueue(task);
        }

        if (Mode == BackgroundWork.Inline && _machine.Background.SharedTime is null)
        {
            _ = RunPending(cpu);
        }
    }

    /// <summary>Runs everything that was woken.</summary>
    /// <returns>How many threads ran.</returns>
    public int RunPending(Cpu waker)
    {
        if (!_running.TryEnter())
        {
            return 0;
        }

        try
        {
            // The lock is re-entrant: a wake-up by a thread that runs here gets this far as well.
            return _isRunning ? 0 : RunAll(waker);
        }
        finally
        {
            _running.Exit();
        }
    }

    private int RunAll(Cpu waker)
    {
        Debug.Assert(!_isRunning, "one thread at a time");
        int ran = 0;
        _isRunning = true;
        try
        {
            while (Next() is BackgroundTask task)
            {
                Cpu cpu = CpuFor(task, waker);
                using (_machine.Callouts.Enter())
                {
                    using (new BackgroundScope(cpu, task.Task))
                    {
                        task.Run(cpu);
                        Debug.Assert(ReferenceEquals(cpu.Current, task.Task), "the CPU is the thread's until it sleeps");
                    }
                }

                ran++;
            }
        }
        finally
        {
            _isRunning = false;
        }

        return ran;
    }

    private BackgroundTask? Next()
    {
        lock (_woken)
        {
            if (!_woken.TryDequeue(out BackgroundTask? task))
            {
                return null;
            }

            Debug.Assert(task.IsPending, "who is to run was woken");
            task.IsPending = false;
            return task;
        }
    }

    private Cpu CpuFor(BackgroundTask task, Cpu waker)
    {
        if (!_machine.IsParallel && task.Node is not null)
        {
            foreach (Cpu cpu in task.Node.Cpus)
            {
                if (cpu.IsOnline)
                {
                    return cpu;
                }
            }
        }

        return waker;
    }
}
