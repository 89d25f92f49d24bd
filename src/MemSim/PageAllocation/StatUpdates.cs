using MemSim.Background;

namespace MemSim.PageAllocation;

/// <summary>What each CPU does once in <c>vm.stat_interval</c> seconds (<c>vmstat_update()</c>): counters are folded, limits of per-CPU lists that rose come down again, where the kernel lets them move, and lists of other nodes that lie idle give pages back.</summary>
internal sealed class StatUpdates
{
    private const long NanosecondsPerSecond = 1_000_000_000;
    private const int FirstPid = 20;

    private readonly Machine _machine;
    private readonly KernelTask[] _workers;
    private long _updated;

    public StatUpdates(Machine machine)
    {
        _machine = machine;
        _workers = [.. machine.Cpus.Select(cpu => new KernelTask($"kworker/{cpu.Id}:0", FirstPid + cpu.Id))];
    }

    /// <summary>Does what became due since the last call.</summary>
    public void Advance()
    {
        long interval = Math.Max(1, _machine.Settings.Sysctls.StatInterval) * NanosecondsPerSecond;
        long due = (_machine.Clock.Nanoseconds - _updated) / interval;
        _updated += due * interval;
        foreach (Cpu cpu in _machine.Cpus)
        {
            if (due > 0 && cpu.IsOnline)
            {
                Update(cpu, due);
            }
        }
    }

    /// <summary>As often as there is something left to do: each time, every limit falls by an eighth at most.</summary>
    private void Update(Cpu cpu, long times)
    {
        using BackgroundScope scope = new(cpu, _workers[cpu.Id]);
        bool again = true;
        for (long left = times; left > 0 && again; left--)
        {
            again = _machine.Pages.UpdateLists(cpu);
        }
    }
}
