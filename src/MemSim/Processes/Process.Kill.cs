using MemSim.Lru;

namespace MemSim;

/// <content>SIGKILL.</content>
public sealed partial class Process
{
    /// <summary>Whether it was sent SIGKILL and still lives.</summary>
    internal bool IsDying { get; private set; }

    /// <summary>The signal it dies of.</summary>
    internal Signal DeathSignal { get; private set; } = Signal.SIGKILL;

    /// <summary>What it wants to be told when memory that it has mapped turns out to be broken (<c>prctl(PR_MCE_KILL)</c>).</summary>
    public MemoryErrorPolicy MemoryErrorPolicy { get; set; }

    /// <summary>Delivers a signal: its handler deals with it, or it dies of it (<c>force_sig_mceerr()</c>).</summary>
    internal void Deliver(Cpu cpu, SignalInfo info)
    {
        if (State != ProcessState.Running || IsDying)
        {
            return;
        }

        LastSignal = info;
        if (info.Signal == Signal.SIGKILL || SignalHandler is not { } handler || !Handles(handler, info))
        {
            DeathSignal = info.Signal;
            Kill(cpu);
        }
    }

    private bool Handles(Func<SignalInfo, bool> handler, SignalInfo info)
    {
        try
        {
            return handler(info);
        }
        catch (Exception e)
        {
            Machine.Callouts.Failed(e);
            return false;
        }
    }

    /// <summary>Kills the process (<c>kill(pid, SIGKILL)</c>). One that runs on a CPU ends when it next faults or leaves the CPU, any other at once.</summary>
    /// <param name="cpu">The CPU that does it; null for the first.</param>
    /// <remarks>On a machine with parallel CPUs a process ends only on the CPU that runs it next: another host thread could be about to.</remarks>
    public void Kill(Cpu? cpu = null)
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        if (cpu is not null)
        {
            _ = Machine.CpuTable.Own(cpu);
        }

        if (State != ProcessState.Running || IsDying)
        {
            return;
        }

        IsDying = true;
        if (RunsOn is null && !_spaces.Machine.IsParallel)
        {
            _spaces.Machine.OwnersLock.EndLater(this, cpu ?? _spaces.Machine.CpuTable.CallersCpu());
        }
    }

    /// <summary>Dies if it was killed while it ran; one that has ended needs its stack no more.</summary>
    internal override void Left(Cpu cpu)
    {
        if (IsDying)
        {
            Exit(cpu, new ExitStatus(0, DeathSignal));
        }

        if (State != ProcessState.Running)
        {
            using OwnersLock.Scope scope = _spaces.Enter();
            GiveUpMemory(cpu);
        }
    }
}
