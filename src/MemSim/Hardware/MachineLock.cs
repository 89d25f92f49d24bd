using MemSim.Diagnostics;

namespace MemSim.Hardware;

/// <summary>A lock of a machine under which it may take others: a lock of the host, or of who tries interleavings.</summary>
internal sealed class MachineLock
{
    private readonly Lock _lock = new();
    [NotState("a copy's CPUs are the host's to schedule")]
    private readonly IWatchedLock? _watched;

    public MachineLock(Machine machine, string name) => _watched = machine.Interleaver?.Watch(name);

    public void Enter()
    {
        if (_watched is null)
        {
            _lock.Enter();
        }
        else
        {
            _watched.Enter();
        }
    }

    public void Exit()
    {
        if (_watched is null)
        {
            _lock.Exit();
        }
        else
        {
            _watched.Exit();
        }
    }
}
