using System.Diagnostics;
using System.Globalization;
using MemSim.Hardware;

namespace MemSim;

/// <summary>How much time tasks lose because memory is short (pressure stall information), on the machine's simulated clock (<see cref="Machine.Uptime"/>).</summary>
/// <remarks>
/// Reclaim takes time and counts as a stall, and so do its waits for devices; other waits, and time that is let pass, do not. The averages are the kernel's:
/// updated every two seconds of the clock, in its fixed-point arithmetic.
/// </remarks>
public sealed class PressureStall
{
    private const long PeriodNanoseconds = 2_000_000_000;
    private const int FractionBits = 11;
    private const ulong One = 1 << FractionBits;

    /// <summary>exp(-2s/10s), exp(-2s/60s), exp(-2s/300s) in 2048ths.</summary>
    private static readonly ulong[] Decays = [1677, 1981, 2034];

    private readonly Action<TimeSpan> _letPass;
    private readonly SimulatedClock _clock;
    // Guards _some, _full, the times they are made of and _triggers.
    private readonly Lock _lock = new();
    private readonly ulong[] _some = new ulong[3];
    private readonly ulong[] _full = new ulong[3];
    private readonly List<PressureTrigger> _triggers = [];

    /// <summary>How far along the clock the figures are.</summary>
    private long _now;
    private long _nextUpdate = PeriodNanoseconds;
    private long _someInPeriod;
    private long _fullInPeriod;
    private long _someTotal;
    private long _fullTotal;

    /// <summary>Counts on a clock.</summary>
    /// <param name="clock">The machine's clock.</param>
    /// <param name="letPass">Lets time pass for the whole machine.</param>
    internal PressureStall(SimulatedClock clock, Action<TimeSpan> letPass)
    {
        _letPass = letPass;
        _clock = clock;
    }

    /// <summary>Simulated time since boot, in nanoseconds: <see cref="Machine.Uptime"/>.</summary>
    public long Nanoseconds => _clock.Nanoseconds;

    /// <summary>Time in which at least one task waited for memory, in microseconds.</summary>
    public long SomeMicroseconds => _someTotal / 1000;

    /// <summary>Time in which all tasks that had work waited for memory, in microseconds.</summary>
    public long FullMicroseconds => _fullTotal / 1000;

    /// <summary><c>/proc/pressure/memory</c>.</summary>
    public string Text
    {
        get
        {
            lock (_lock)
            {
                CatchUp();
                return Line("some", _some, SomeMicroseconds) + Line("full", _full, FullMicroseconds);
            }
        }
    }

    /// <summary>Lets time pass in which nobody waits for memory: <see cref="Machine.AdvanceTime"/>.</summary>
    /// <param name="time">How long.</param>
    public void Advance(TimeSpan time) => _letPass(time);

    /// <summary>Asks for events, in the words of the kernel's file: <c>some 150000 1000000</c> for 150 ms of stalls within a second.</summary>
    /// <param name="text">Which stalls, the threshold and the window, both in microseconds.</param>
    /// <returns>The trigger; EINVAL for a window of more than ten seconds or less than half a second, and for a threshold of 0 or more than the window.</returns>
    public Result<PressureTrigger> AddTrigger(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        string[] words = text.Split(' ', '\n');
        const long least = 500_000;
        const long most = 10_000_000;
        if (words.Length < 3 || words[0] is not ("some" or "full") || !uint.TryParse(words[1], NumberStyles.None, CultureInfo.InvariantCulture, out uint threshold)
            || !uint.TryParse(words[2], NumberStyles.None, CultureInfo.InvariantCulture, out uint window) || window is < (uint)least or > (uint)most || threshold == 0 || threshold > window)
        {
            return Errno.EINVAL;
        }

        PressureTrigger trigger = new(this, words[0] == "full", threshold, window);
        lock (_lock)
        {
            CatchUp();
            _triggers.Add(trigger);
        }

        return trigger;
    }

    /// <summary>Nobody asks any more: the file was closed.</summary>
    /// <param name="trigger">What <see cref="AddTrigger"/> returned.</param>
    /// <returns>Whether it was one of these.</returns>
    public bool RemoveTrigger(PressureTrigger trigger)
    {
        ArgumentNullException.ThrowIfNull(trigger);
        lock (_lock)
        {
            return _triggers.Remove(trigger);
        }
    }

    /// <summary>The share of time lost lately, in hundredths of a percent.</summary>
    /// <param name="full">Whether all tasks had to wait, or at least one.</param>
    /// <param name="seconds">10, 60 or 300.</param>
    public long Average(bool full, int seconds)
    {
        int index = seconds switch
        {
            10 => 0,
            60 => 1,
            300 => 2,
            _ => throw new ArgumentOutOfRangeException(nameof(seconds), seconds, "averages exist over 10, 60 and 300 seconds"),
        };
        lock (_lock)
        {
            CatchUp();
            return (long)((full ? _full : _some)[index] * 100 >> FractionBits);
        }
    }

    /// <summary>Lets time pass in which a task waits for memory.</summary>
    /// <param name="nanoseconds">How long.</param>
    /// <param name="full">Whether no other task could work meanwhile.</param>
    internal void Stall(long nanoseconds, bool full)
    {
        if (nanoseconds > 0)
        {
            lock (_lock)
            {
                CatchUp();
                Pass(nanoseconds, nanoseconds, full ? nanoseconds : 0);
                _clock.Advance(nanoseconds);
            }
        }
    }

    /// <summary>Of the time that passed on the clock, the last part was one in which a task waited for memory.</summary>
    /// <param name="nanoseconds">How long.</param>
    /// <param name="full">Whether no other task could work meanwhile.</param>
    internal void NotePassed(long nanoseconds, bool full)
    {
        lock (_lock)
        {
            long passed = _clock.Nanoseconds - _now;
            long stalled = Math.Min(nanoseconds, passed);
            if (passed > stalled)
            {
                Pass(passed - stalled, 0, 0);
            }

            if (stalled > 0)
            {
                Pass(stalled, stalled, full ? stalled : 0);
            }
        }
    }

    /// <summary>Looks at what passed on the clock since the last stall.</summary>
    internal void BringUpToDate()
    {
        lock (_lock)
        {
            CatchUp();
        }
    }

    /// <summary>What passed on the clock without being a stall.</summary>
    private void CatchUp()
    {
        long passed = _clock.Nanoseconds - _now;
        if (passed > 0)
        {
            Pass(passed, 0, 0);
        }
    }

    private void Pass(long time, long some, long full)
    {
        Debug.Assert(full >= 0 && full <= some && some <= time && _now <= _nextUpdate, "all wait only while somebody waits, and nobody longer than time passes");
        foreach (PressureTrigger trigger in _triggers)
        {
            trigger.Pass(_now, time, trigger.IsFull ? full : some, trigger.IsFull ? _fullTotal : _someTotal);
        }

        _someTotal += some;
        _fullTotal += full;
        while (time >= _nextUpdate - _now)
        {
            if (some == 0 && full == 0 && _someInPeriod == 0 && _fullInPeriod == 0 && IsForgotten(_some) && IsForgotten(_full))
            {
                // Nothing is left to fade: the other periods are passed over.
                long periods = (_now + time - _nextUpdate) / PeriodNanoseconds;
                time -= _nextUpdate + (periods * PeriodNanoseconds) - _now;
                _now = _nextUpdate + (periods * PeriodNanoseconds);
                _nextUpdate = _now > long.MaxValue - PeriodNanoseconds ? long.MaxValue : _now + PeriodNanoseconds;
                break;
            }

            long step = _nextUpdate - _now;
            long someStep = Math.Min(some, step);
            long fullStep = Math.Min(full, step);
            Update(_some, _someInPeriod + someStep);
            Update(_full, _fullInPeriod + fullStep);
            (_someInPeriod, _fullInPeriod) = (0, 0);
            some -= someStep;
            full -= fullStep;
            time -= step;
            _now = _nextUpdate;
            _nextUpdate = _now > long.MaxValue - PeriodNanoseconds ? long.MaxValue : _now + PeriodNanoseconds;
        }

        _now += time;
        _someInPeriod += some;
        _fullInPeriod += full;
        Debug.Assert(_fullInPeriod <= _someInPeriod && _someInPeriod <= PeriodNanoseconds, "no more was lost in a period than it has");
    }

    private static bool IsForgotten(ulong[] averages) => !averages.AsSpan().ContainsAnyExcept(0UL);

    private static void Update(ulong[] averages, long stalled)
    {
        ulong percent = (ulong)stalled * 100 / (ulong)PeriodNanoseconds * One;
        for (int i = 0; i < averages.Length; i++)
        {
            ulong next = (averages[i] * Decays[i]) + (percent * (One - Decays[i]));

            // Rounded up while it grows, so that it reaches what it tends to.
            next += percent >= averages[i] ? One - 1 : 0;
            averages[i] = next / One;
        }
    }

    private static string Line(string name, ulong[] averages, long total) => string.Create(
        CultureInfo.InvariantCulture,
        $"{name} avg10={Percent(averages[0])} avg60={Percent(averages[1])} avg300={Percent(averages[2])} total={total}\n");

    private static string Percent(ulong fixedPoint) =>
        string.Create(CultureInfo.InvariantCulture, $"{fixedPoint >> FractionBits}.{(fixedPoint & (One - 1)) * 100 >> FractionBits:00}");
}
