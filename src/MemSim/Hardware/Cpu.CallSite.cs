namespace MemSim;

/// <content>The name of the code that runs.</content>
public sealed partial class Cpu
{
    /// <summary>The function that allocations and frees are ascribed to by tracepoints and user tracking; empty until <see cref="CallSite"/> sets it.</summary>
    internal string CurrentCallSite { get; set; } = "";

    /// <summary>Who asks, where somebody may be named with the call: that name, else the call site in force, else the member of the program that calls.</summary>
    internal string CallerOf(string? named, string member) => named ?? (CurrentCallSite.Length != 0 ? CurrentCallSite : member);

    /// <summary>Names the caller of the allocations and frees that follow, until the scope is disposed: what tracepoints, user tracking, reports of leaks and <c>/proc/vmallocinfo</c> show as call site.</summary>
    /// <param name="name">The name, e.g. <c>copy_process+0x20e/0x1ae0</c>.</param>
    public CallSiteScope CallSite(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        CallSiteScope scope = new(this, CurrentCallSite);
        CurrentCallSite = name;
        return scope;
    }
}

/// <summary>A call site in force; disposing it brings the previous one back.</summary>
public readonly struct CallSiteScope : IDisposable
{
    private readonly Cpu? _cpu;
    private readonly string _previous;

    internal CallSiteScope(Cpu cpu, string previous)
    {
        _cpu = cpu;
        _previous = previous;
    }

    /// <summary>Brings the previous call site back.</summary>
    public void Dispose()
    {
        if (_cpu is not null)
        {
            _cpu.CurrentCallSite = _previous;
        }
    }
}
