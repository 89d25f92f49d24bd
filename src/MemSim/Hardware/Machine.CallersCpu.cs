namespace MemSim;

/// <content>The CPU of who names none.</content>
public sealed partial class Machine
{
    /// <summary>Code that the kernel calls must not call back.</summary>
    /// <exception cref="KernelBugException">It did, whatever the policy: there is nothing sensible to go on with.</exception>
    internal void RefuseReentry()
    {
        if (Callouts.IsInUserCode)
        {
            Bugs.Reentered(_cpus[0]);
            throw new InvalidOperationException("code that the kernel called must not call back into it");
        }
    }

    /// <summary>
    /// The CPU on which something is done for a caller who names none: the first that is online; on a machine with parallel CPUs the one on which the calling host thread last ran a task.
    /// </summary>
    /// <param name="likely">The CPU to take where no two threads drive any, and else if it is the caller's.</param>
    /// <exception cref="InvalidOperationException">The thread never ran a task, and another one runs a task on the first CPU: two threads must not drive one CPU.</exception>
    internal Cpu CallersCpu(Cpu? likely = null)
    {
        RefuseReentry();
        Cpu? first = null;
        int thread = _parallel ? Environment.CurrentManagedThreadId : 0;
        if (likely is not null && (!_parallel || likely.Driver == thread))
        {
            return likely;
        }

        foreach (Cpu cpu in _cpus)
        {
            if (_parallel && cpu.Driver == thread)
            {
                return cpu;
            }

            first = first is null && cpu.IsOnline ? cpu : first;
        }

        return first is null
            ? throw new InvalidOperationException("no CPU is online")
            : _parallel && !first.IsIdle
            ? throw new InvalidOperationException($"this call names no CPU, its host thread runs on none, and on CPU {first.Id} another thread runs {first.Current}: say which CPU, or make the call on one (Cpu.Run)")
            : first;
    }
}
