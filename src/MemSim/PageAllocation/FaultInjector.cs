using MemSim.Diagnostics;

namespace MemSim.PageAllocation;

/// <summary>Asks the armed rules whether something fails on purpose (<c>should_fail()</c>). While there are none, nobody asks.</summary>
internal sealed class FaultInjector : IReopened
{
    private readonly Machine _machine;
    // Guards _armed and what its rules have counted.
    private readonly Lock _lock = new();
    [NotState("failures belong to the machine they were asked for")]
    private ArmedFault[] _armed = [];

    public FaultInjector(Machine machine) => _machine = machine;

    /// <summary>Whether there are rules: then every request must take the checked way in.</summary>
    public bool IsArmed => _armed.Length != 0;

    /// <summary>The rules at work, oldest first.</summary>
    public IReadOnlyList<ArmedFault> Armed => _armed;

    public ArmedFault Arm(FaultRule rule)
    {
        ArmedFault armed = new(this, rule);
        lock (_lock)
        {
            _armed = [.. _armed, armed];
        }

        _machine.Hooks.UpdateModes();
        return armed;
    }

    public void Disarm(ArmedFault armed)
    {
        lock (_lock)
        {
            _armed = [.. _armed.Where(a => a != armed)];
        }

        _machine.Hooks.UpdateModes();
    }

    /// <inheritdoc/>
    void IReopened.Reopen() => Clear();

    public void Clear()
    {
        lock (_lock)
        {
            _armed = [];
        }

        _machine.Hooks.UpdateModes();
    }

    /// <summary>Whether a request to the page allocator fails.</summary>
    public bool FailsPages(Cpu cpu, Gfp gfp, int order) =>
        _armed.Length != 0 && Fails(cpu, FaultPoints.FailPageAlloc, gfp, order, "", (long)PageGeometry.PageSize << Math.Min(order, 32));

    /// <summary>Whether a request for objects fails.</summary>
    public bool FailsObjects(Cpu cpu, Gfp gfp, string cache, long bytes) =>
        _armed.Length != 0 && Fails(cpu, FaultPoints.FailSlab, gfp, 0, cache, bytes);

    /// <summary>Whether a copy from or to a process fails (<c>should_fail_usercopy()</c>).</summary>
    public bool FailsUserCopy(Cpu cpu, long bytes) =>
        _armed.Length != 0 && Fails(cpu, FaultPoints.FailUsercopy, Gfp.None, 0, "", bytes);

    private bool Fails(Cpu cpu, FaultPoints point, Gfp gfp, int order, string cache, long bytes)
    {
        if ((gfp & Gfp.NoFail) != 0)
        {
            return false;
        }

        lock (_lock)
        {
            // Each rule sees each request, whatever the others say.
            bool fails = false;
            foreach (ArmedFault armed in _armed)
            {
                fails |= armed.ShouldFail(cpu, point, gfp, order, cache, bytes);
            }

            return fails;
        }
    }
}
