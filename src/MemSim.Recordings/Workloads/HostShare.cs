namespace MemSim.Recordings.Workloads;

/// <summary>Two threads of a host with one CPU: the guest, and the one that serves its devices. They share the CPU as the fair scheduler has it.</summary>
/// <remarks>
/// The device's thread comes first when it wakes, if it had less of the CPU than the guest; else it waits until the guest had a turn of three milliseconds and a tick ends it.
/// Who slept is credited with three milliseconds at most.
/// </remarks>
internal sealed class HostShare
{
    private const long Turn = 3_000_000;
    private const long SleeperBonus = 3_000_000;
    private const long WakeupGranularity = 1_000_000;

    private long _guest;
    private long _device;
    private long _guestSince;
    private long _lastTick;

    /// <summary>Whether the device's thread has work and waits for the CPU.</summary>
    public bool IsWaiting { get; private set; }

    /// <summary>Writes that it has done, and the guest not yet heard of.</summary>
    public int Ended { get; private set; }

    /// <summary>There is work for the device.</summary>
    /// <returns>Whether its thread takes the CPU at once.</returns>
    public bool Wake()
    {
        if (IsWaiting)
        {
            return false;
        }

        _device = Math.Max(_device, _guest - SleeperBonus);
        IsWaiting = true;
        return _guest - _device > WakeupGranularity;
    }

    /// <summary>The guest had the CPU.</summary>
    /// <returns>Whether it has to give it up now.</returns>
    public bool Runs(long nanoseconds, long now, long tickLength)
    {
        _guest += nanoseconds;
        long tick = now / tickLength;
        if (tick == _lastTick)
        {
            return false;
        }

        _lastTick = tick;
        return IsWaiting && (now - _guestSince > Turn ? _device < _guest : _guest - _device > Turn);
    }

    /// <summary>The device's thread had the CPU and did all its work.</summary>
    public void Served(long nanoseconds, int writes, long now)
    {
        IsWaiting = false;
        Ended = writes;
        _device += nanoseconds;
        _guestSince = now;
    }

    /// <summary>The guest waited for the device.</summary>
    public void GuestSlept(long nanoseconds, long now)
    {
        _device = Math.Max(_device, _guest - SleeperBonus) + nanoseconds;
        _guest = Math.Max(_guest, _device - SleeperBonus);
        _guestSince = now;
    }

    /// <summary>The guest hears of a write that ended.</summary>
    public void End() => Ended -= Ended > 0 ? 1 : 0;
}
