using MemSim.Compaction;
using MemSim.Lru;
using MemSim.PageAllocation;

namespace MemSim;

/// <content>Time that passes for everybody.</content>
public sealed partial class Machine
{
    private long _kcompactdLooked;
    private StatUpdates? _statUpdates;

    /// <summary>How often kcompactd looks whether its node became fragmented (<c>HPAGE_FRAG_CHECK_INTERVAL_MSEC</c>).</summary>
    private const long KcompactdPeriod = 500_000_000;

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

    /// <summary>Lets simulated time pass in which nobody waits for memory: dirty pages that became too old are written (<c>dirty_expire_centisecs</c>), khugepaged and kcompactd look around when it is time, limits of per-CPU lists that rose with the load come down again (<c>stat_interval</c>; since 6.7), and objects that waited for a grace period are freed (<see cref="CpuSlabCalls.KfreeRcu"/>).</summary>
    /// <param name="time">How much; the clock ends 292 years after the boot.</param>
    /// <exception cref="ArgumentOutOfRangeException">The time is negative, or the clock would run over.</exception>
    public void AdvanceTime(TimeSpan time)
    {
        ThrowIfDisposed();
        ArgumentOutOfRangeException.ThrowIfLessThan(time, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(time, TimeSpan.FromTicks((long.MaxValue - Clock.Nanoseconds) / 100));
        RefuseReentry();
        using OwnersLock.Scope scope = EnterOwners();
        Cpu cpu = FirstOnlineCpu();
        PageCache.Advance(cpu, time.Ticks * 100);
        HugePages.Khugepaged.Advance(cpu, time);
        AdvanceKcompactd(cpu);
        Slab.Rcu.End(cpu, all: false);
        (_statUpdates ??= new StatUpdates(this)).Advance();
    }

    /// <summary>Has kcompactd look as often as it would have in the time since it looked last. After a look that found nothing to do, and nothing asked of it, the other ones would not either.</summary>
    private void AdvanceKcompactd(Cpu cpu)
    {
        long looks = (Clock.Nanoseconds - _kcompactdLooked) / KcompactdPeriod;
        _kcompactdLooked += looks * KcompactdPeriod;
        if (looks == 0 || Reclaimer is NoReclaim)
        {
            return;
        }

        foreach (Node node in _nodes)
        {
            if (HasPopulatedZone(node))
            {
                Kcompactd daemon = Compactor.Daemon(node);
                for (long left = looks; left > 0 && daemon.HasReasonToLook;)
                {
                    left -= daemon.Tick(cpu, left);
                }
            }
        }
    }
}
