namespace MemSim;

/// <content>Time that passes for everybody.</content>
public sealed partial class Machine
{
    private readonly Timekeeping _timekeeping;

    /// <summary>Lets simulated time pass in which nobody waits for memory: dirty pages that became too old are written (<c>dirty_expire_centisecs</c>), khugepaged and kcompactd look around when it is time, limits of per-CPU lists that rose with the load come down again (<c>stat_interval</c>; since 6.7), those of other nodes that lie idle give pages back, and objects that waited for a grace period are freed (<see cref="CpuSlabCalls.KfreeRcu"/>).</summary>
    /// <param name="time">How much; the clock ends 292 years after the boot.</param>
    /// <exception cref="ArgumentOutOfRangeException">The time is negative, or the clock would run over.</exception>
    public void AdvanceTime(TimeSpan time) => _timekeeping.Advance(time);
}
