namespace MemSim.Ksm;

/// <summary>Chooses <c>pages_to_scan</c> so that a full scan takes as long as it is told to (<c>advisor_mode</c> scan-time, Linux 6.8).</summary>
internal sealed class KsmAdvisor
{
    // Percent of a CPU that ksmd takes at least, if there is so much to look at.
    private const ulong MinCpu = 10;

    // Of how much the last scan counts for the average, in percent.
    private const ulong Weight = 30;

    private ulong _lastSeconds;
    private ulong _change;
    private TimeSpan _cpuTime;
    private TimeSpan _begun;

    /// <summary>Whether it chooses.</summary>
    public bool IsOn { get; private set; }

    /// <summary>Percent of a CPU that ksmd may take; any number is taken, and cut to 32 bits (<c>advisor_max_cpu</c>).</summary>
    public uint MaxCpu { get; set; } = 70;

    /// <summary>Pages that it looks at each time to begin with; later scans may look at fewer, in spite of the name (<c>advisor_min_pages_to_scan</c>).</summary>
    public ulong MinPages { get; set; } = 500;

    /// <summary>Pages that it looks at each time at most, but to begin with (<c>advisor_max_pages_to_scan</c>).</summary>
    public ulong MaxPages { get; set; } = 30_000;

    /// <summary>Seconds that a full scan is to take, at least one (<c>advisor_target_scan_time</c>).</summary>
    public ulong TargetSeconds { get; set; } = 200;

    /// <summary>What it knows of earlier scans: the same before and after a full scan means that it goes on so.</summary>
    public (ulong Seconds, ulong Change) State => (_lastSeconds, _change);

    /// <summary>Turns it on or off; what it knew is forgotten, also when the last scan began and how much of a CPU it had taken by then (<c>set_advisor_defaults()</c>).</summary>
    public void Switch(bool on)
    {
        IsOn = on;
        _lastSeconds = 0;
        _change = 0;
        _cpuTime = TimeSpan.Zero;
        _begun = TimeSpan.Zero;
    }

    /// <summary>A full scan begins.</summary>
    public void Begin(TimeSpan now) => _begun = IsOn ? now : _begun;

    /// <summary>A full scan ends.</summary>
    /// <param name="now">The time.</param>
    /// <param name="cpuTime">What ksmd has taken of its CPU since the boot.</param>
    /// <param name="pages">What it looked at each time.</param>
    /// <returns>What it is to look at from now on.</returns>
    public uint End(TimeSpan now, TimeSpan cpuTime, uint pages)
    {
        ulong seconds = Math.Max((ulong)(now - _begun).TotalSeconds, 1);
        ulong used = (ulong)(cpuTime - _cpuTime).TotalMilliseconds;
        _cpuTime = cpuTime;
        return Choose(seconds, Math.Max((uint)(used * 100 / (seconds * 1000)), 1), pages);
    }

    /// <summary>What to look at from now on after a scan that took so long.</summary>
    /// <param name="seconds">How long it took, at least 1.</param>
    /// <param name="percent">What ksmd took of its CPU, at least 1.</param>
    /// <param name="pages">What it looked at each time.</param>
    public uint Choose(ulong seconds, uint percent, uint pages)
    {
        ulong last = _lastSeconds != 0 ? _lastSeconds : seconds;
        ulong share = Math.Max(unchecked(TargetSeconds * 100) / seconds, 1);
        ulong change = Math.Max(seconds * 100 / last, 1);
        _change = (((100 - Weight) * _change) + (Weight * change)) / 100;
        _lastSeconds = seconds;
        ulong wanted = (ulong)pages * 100 / share * _change / 100;
        ulong perPercent = Math.Max(pages / percent, 1);
        return unchecked((uint)Math.Min(Math.Max(Math.Min(wanted, perPercent * MaxCpu), perPercent * MinCpu), MaxPages));
    }

    /// <summary>Full scans went on as the last ones, and took so much of the CPU.</summary>
    public void Pass(TimeSpan cpuTime) => _cpuTime += cpuTime;
}
