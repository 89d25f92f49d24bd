using MemSim.Compaction;
using MemSim.Lru;
using MemSim.PageAllocation;

namespace MemSim;

/// <summary>Time that passes for everybody. <see cref="Machine.AdvanceTime"/>.</summary>
internal sealed class Timekeeping(Machine machine)
{
    /// <summary>How often kcompactd looks whether its node became fragmented (<c>HPAGE_FRAG_CHECK_INTERVAL_MSEC</c>).</summary>
    private const long KcompactdPeriod = 500_000_000;

    private long _kcompactdLooked;
    private StatUpdates? _statUpdates;

    /// <inheritdoc cref="Machine.AdvanceTime"/>
    public void Advance(TimeSpan time)
    {
        machine.ThrowIfDisposed();
        ArgumentOutOfRangeException.ThrowIfLessThan(time, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(time, TimeSpan.FromTicks((long.MaxValue - machine.Clock.Nanoseconds) / 100));
        machine.CpuTable.RefuseReentry();
        using OwnersLock.Scope scope = machine.EnterOwners();
        Cpu cpu = machine.CpuTable.CallersCpu();
        machine.Files.PageCache.Advance(cpu, time.Ticks * 100);
        machine.HugePages.Khugepaged.Advance(cpu, time);
        machine.Migration.Balancing.Advance();
        machine.Ksm.Advance(cpu, time);
        AdvanceKcompactd(cpu);
        machine.Slab.Rcu.End(cpu, all: false);
        (_statUpdates ??= new StatUpdates(machine)).Advance();
    }

    /// <summary>Has kcompactd look as often as it would have in the time since it looked last. After a look that found nothing to do, and nothing asked of it, the other ones would not either.</summary>
    private void AdvanceKcompactd(Cpu cpu)
    {
        long looks = (machine.Clock.Nanoseconds - _kcompactdLooked) / KcompactdPeriod;
        _kcompactdLooked += looks * KcompactdPeriod;
        if (looks == 0 || machine.Hooks.Reclaimer is NoReclaim)
        {
            return;
        }

        foreach (Node node in machine.Nodes)
        {
            if (HasPopulatedZone(node))
            {
                Kcompactd daemon = machine.Compaction.Compactor.Daemon(node);
                for (long left = looks; left > 0 && daemon.HasReasonToLook;)
                {
                    left -= daemon.Tick(cpu, left);
                }
            }
        }
    }

    private static bool HasPopulatedZone(Node node)
    {
        foreach (Zone zone in node.Zones)
        {
            if (zone.IsPopulated)
            {
                return true;
            }
        }

        return false;
    }
}
