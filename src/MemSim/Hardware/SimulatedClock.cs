namespace MemSim.Hardware;

/// <summary>The machine's one clock: nanoseconds since the boot. It stands still until something that takes time happens: a wait for a device, reclaim, or time that is let pass.</summary>
/// <remarks>Devices, the ages of dirty pages, pressure stall figures and the periods of background threads all go by it. No simulated thing asks the host for the time.</remarks>
internal sealed class SimulatedClock
{
    private long _now;

    /// <summary>Nanoseconds since the boot.</summary>
    public long Nanoseconds => Volatile.Read(ref _now);

    /// <summary>Lets time pass.</summary>
    public void Advance(long nanoseconds) => Interlocked.Add(ref _now, nanoseconds);

    /// <summary>Lets time pass until then; nothing happens when it is later already.</summary>
    public void AdvanceTo(long nanoseconds)
    {
        long now = Nanoseconds;
        while (now < nanoseconds)
        {
            long seen = Interlocked.CompareExchange(ref _now, nanoseconds, now);
            if (seen == now)
            {
                return;
            }

            now = seen;
        }
    }
}
