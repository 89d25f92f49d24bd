using System.Diagnostics;

namespace MemSim;

/// <summary>How badly reclaim goes (<c>enum vmpressure_levels</c>).</summary>
public enum PressureLevel
{
    /// <summary>Memory is reclaimed.</summary>
    Low,

    /// <summary>Less than 40 % of what is looked at can be taken.</summary>
    Medium,

    /// <summary>Less than 5 %, or reclaim goes deep: the OOM killer is near.</summary>
    Critical,
}

/// <summary>How well reclaim of a cgroup's memory goes, and who wants to know (version 1's <c>memory.pressure_level</c>). <see cref="Cgroup.PressureLevels"/>.</summary>
/// <remarks>
/// Pages looked at and pages taken are summed up over <see cref="WindowPages"/>; then the cgroup and those above it are told. The events come at once, where a kernel leaves them to a work
/// queue. What user space asks to be reclaimed (<c>memory.reclaim</c>) does not count, nor by generations what the machine reclaims for itself before it goes deep.
/// </remarks>
public sealed class PressureLevels
{
    /// <summary>Pages looked at between two events (<c>vmpressure_win</c>).</summary>
    public const int WindowPages = 512;

    private const int MediumPercent = 60;
    private const int CriticalPercent = 95;
    // Guards _watches, _scanned and _reclaimed.
    private readonly Lock _lock = new();
    private readonly PressureLevels? _above;
    private readonly List<PressureLevelWatch> _watches = [];
    private long _scanned;
    private long _reclaimed;

    internal PressureLevels(PressureLevels? above) => _above = above;

    /// <summary>Asks for events, in the words of <c>cgroup.event_control</c>: <c>medium</c>, <c>critical,hierarchy</c>.</summary>
    /// <param name="text">
    /// The least level (<c>low</c>, <c>medium</c>, <c>critical</c>), and for which events: <c>default</c> for those that nobody below was told of, <c>hierarchy</c> for all, <c>local</c> for
    /// the cgroup's own.
    /// </param>
    /// <returns>The watch; EINVAL for other words.</returns>
    public Result<PressureLevelWatch> Watch(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        string[] words = text.Split(',');
        int level = Array.IndexOf(["low", "medium", "critical"], words[0]);
        int mode = words.Length == 1 ? 0 : words.Length == 2 ? Array.IndexOf(["default", "hierarchy", "local"], words[1]) : -1;
        if (level < 0 || mode < 0)
        {
            return Errno.EINVAL;
        }

        PressureLevelWatch watch = new((PressureLevel)level, passesOn: mode == 1, isLocal: mode == 2);
        lock (_lock)
        {
            _watches.Add(watch);
        }

        return watch;
    }

    /// <summary>Nobody asks any more: the file was closed.</summary>
    /// <param name="watch">What <see cref="Watch"/> returned.</param>
    /// <returns>Whether it was one of these.</returns>
    public bool Unwatch(PressureLevelWatch watch)
    {
        ArgumentNullException.ThrowIfNull(watch);
        lock (_lock)
        {
            return _watches.Remove(watch);
        }
    }

    /// <summary>Reclaim looked at pages and took some.</summary>
    internal void Note(long scanned, long reclaimed)
    {
        if (scanned == 0)
        {
            // Nothing could be looked at so shallow: if it goes deeper, that is told.
            return;
        }

        PressureLevel level;
        lock (_lock)
        {
            _scanned += scanned;
            _reclaimed += reclaimed;
            Debug.Assert(scanned > 0 && reclaimed >= 0 && _scanned - scanned < WindowPages, "a window that is not over yet");
            if (_scanned < WindowPages)
            {
                return;
            }

            level = LevelOf(_scanned, _reclaimed);
            _scanned = _reclaimed = 0;
        }

        bool told = false;
        for (PressureLevels? at = this; at is not null; at = at._above)
        {
            told |= at.Tell(level, isOwn: ReferenceEquals(at, this), told);
        }
    }

    /// <summary>The share of pages looked at in vain, in percent: slab objects count as taken without being looked at.</summary>
    private static PressureLevel LevelOf(long scanned, long reclaimed)
    {
        long scale = scanned + reclaimed;
        long percent = reclaimed >= scanned ? 0 : (scale - (reclaimed * scale / scanned)) * 100 / scale;
        return percent >= CriticalPercent ? PressureLevel.Critical : percent >= MediumPercent ? PressureLevel.Medium : PressureLevel.Low;
    }

    private bool Tell(PressureLevel level, bool isOwn, bool told)
    {
        lock (_lock)
        {
            bool any = false;
            foreach (PressureLevelWatch watch in _watches)
            {
                if (level >= watch.Level && (isOwn || !watch.IsLocal) && (!told || watch.PassesOn || watch.IsLocal))
                {
                    watch.Count();
                    any = true;
                }
            }

            return any;
        }
    }
}

/// <summary>Somebody who wants to know when reclaim goes badly (an eventfd registered with <c>memory.pressure_level</c>).</summary>
public sealed class PressureLevelWatch
{
    private long _taken;

    internal PressureLevelWatch(PressureLevel level, bool passesOn, bool isLocal)
    {
        Level = level;
        PassesOn = passesOn;
        IsLocal = isLocal;
    }

    /// <summary>The least level that it is told of.</summary>
    public PressureLevel Level { get; }

    /// <summary>Events so far.</summary>
    public long Events { get; private set; }

    /// <summary>Whether it is told of cgroups below whose own watchers were told as well (<c>hierarchy</c>).</summary>
    internal bool PassesOn { get; }

    /// <summary>Whether it is told of its own cgroup only (<c>local</c>).</summary>
    internal bool IsLocal { get; }

    /// <summary>Whether there was an event since the last call.</summary>
    public bool Poll()
    {
        bool happened = Events != _taken;
        _taken = Events;
        return happened;
    }

    internal void Count() => Events++;
}
