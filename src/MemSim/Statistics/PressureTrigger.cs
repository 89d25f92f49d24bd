namespace MemSim;

/// <summary>Somebody who wants to know when stalls reach a threshold within a window (<c>poll()</c> on <c>/proc/pressure/memory</c> or <c>memory.pressure</c>).</summary>
/// <remarks>As in the kernel, stalls are looked at ten times a window while there are any, a window that is over counts on in part in the next one, and there is at most one event a window.</remarks>
public sealed class PressureTrigger
{
    private const int UpdatesPerWindow = 10;
    private readonly PressureStall _stalls;
    private readonly long _threshold;
    private readonly long _window;
    private long _start;
    private long _startTotal;
    private long _seen;
    private long _previousGrowth;
    private long _lastEvent;
    private long _until = -1;
    private long _next;
    private bool _pending;
    private long _taken;

    internal PressureTrigger(PressureStall stalls, bool isFull, long thresholdMicroseconds, long windowMicroseconds)
    {
        _stalls = stalls;
        IsFull = isFull;
        _threshold = thresholdMicroseconds * 1000;
        _window = windowMicroseconds * 1000;
    }

    /// <summary>Whether it is about time in which all tasks waited, or at least one.</summary>
    public bool IsFull { get; }

    /// <summary>Events up to the last call of <see cref="Poll"/> or the last stall.</summary>
    public long Events { get; private set; }

    /// <summary>Whether there was an event since the last call (<c>POLLPRI</c>).</summary>
    public bool Poll()
    {
        _stalls.BringUpToDate();
        bool happened = Events != _taken;
        _taken = Events;
        return happened;
    }

    /// <summary>Time passes; the stalls come first.</summary>
    /// <param name="now">Where the clock is before.</param>
    /// <param name="time">How much passes.</param>
    /// <param name="stalled">How much of it is a stall.</param>
    /// <param name="total">Stalls before.</param>
    internal void Pass(long now, long time, long stalled, long total)
    {
        long period = _window / UpdatesPerWindow;
        if (stalled > 0)
        {
            if (now > _until)
            {
                Begin(now, total, 0);
                _next = now + period;
            }

            _until = now + stalled + _window;
        }

        for (; _next <= now + time && _next <= _until; _next += period)
        {
            Look(_next, total + Math.Min(stalled, _next - now));
        }
    }

    private void Look(long now, long total)
    {
        if (total == _seen && !_pending)
        {
            // Nothing new since it was looked at last.
            return;
        }

        _seen = total;
        long growth = total - _startTotal;
        if (now - _start > _window)
        {
            Begin(now, total, growth);
        }
        else
        {
            growth += (long)((Int128)_previousGrowth * (_window - (now - _start)) / _window);
        }

        _pending |= growth >= _threshold;
        if (_pending && now >= _lastEvent + _window)
        {
            Events++;
            _lastEvent = now;
            _pending = false;
        }
    }

    private void Begin(long now, long total, long growth)
    {
        _start = now;
        _startTotal = total;
        _previousGrowth = growth;
    }
}
