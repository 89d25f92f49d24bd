namespace MemSim.Scenarios;

/// <content>Cgroups: there before the scenario starts, removed after it.</content>
internal sealed partial class ScenarioRun
{
    private readonly Dictionary<string, Cgroup> _cgroups = new(StringComparer.Ordinal);

    private void CheckCgroups()
    {
        foreach (ScenarioPhase phase in _scenario.Phases)
        {
            foreach ((string name, ProcessPlan plan, _) in phase.Processes)
            {
                if (plan.Cgroup.Length != 0 && !_scenario.Cgroups.ContainsKey(plan.Cgroup))
                {
                    throw new ArgumentException($"process '{name}' is in cgroup '{plan.Cgroup}', which the scenario does not describe");
                }
            }
        }
    }

    private void MakeCgroups()
    {
        foreach (string path in _scenario.CgroupPaths)
        {
            Result<Cgroup> made = _machine.Cgroups.TryCreate(path);
            if (!made.Succeeded)
            {
                throw new InvalidOperationException($"cgroup '{path}' cannot be made ({made.Error})");
            }

            _cgroups.Add(path, made.Value);
            foreach ((string file, string text) in _scenario.Cgroups[path])
            {
                if (made.Value.Write(file, text) is var refused and not Errno.None)
                {
                    throw new InvalidOperationException($"cgroup '{path}' refuses '{text}' in {file} ({refused})");
                }
            }
        }
    }

    private IReadOnlyList<ScenarioCgroupSample> SampleCgroups() => _cgroups.Count == 0 ? [] :
    [
        .. _scenario.CgroupPaths.Where(_cgroups.ContainsKey).Select(path => new ScenarioCgroupSample
        {
            Path = path,
            Pages = _cgroups[path].CurrentBytes >> PageGeometry.PageShift,
            SwapPages = _cgroups[path].SwapBytes >> PageGeometry.PageShift,
        }),
    ];

    private IReadOnlyList<ScenarioCgroup> ReportCgroups() =>
    [
        .. _scenario.CgroupPaths.Select(path => new ScenarioCgroup
        {
            Path = path,
            PeakPages = _cgroups[path].PeakBytes >> PageGeometry.PageShift,
            Events = _cgroups[path]["memory.events"].TrimEnd('\n').Replace('\n', ' '),
        }),
    ];

    /// <summary>Those below first; what is still charged goes to the cgroup above, as in the kernel.</summary>
    private void RemoveCgroups()
    {
        foreach (string path in _scenario.CgroupPaths.Reverse())
        {
            if (_cgroups.Remove(path))
            {
                _ = _machine.Cgroups.Remove(path);
            }
        }
    }
}
