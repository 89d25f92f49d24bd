using MemSim.Tool.Views;

namespace MemSim.Tool.Recordings;

/// <summary>Takes pictures of a machine while something is replayed on it: before, when the least was free, and at the end.</summary>
/// <remarks>An exact run frees all it took before it ends, so that its end looks much like its beginning: what is between is what one wants to see.</remarks>
internal sealed class MapRecorder : IReplayWatcher
{
    private FragmentationMap? _before;
    private FragmentationMap? _fullest;
    private FragmentationMap? _after;

    /// <summary>The moments in order of time.</summary>
    public IReadOnlyList<FragmentationMap> Maps => [.. new[] { _before, _fullest, _after }.OfType<FragmentationMap>()];

    int? IReplayWatcher.Every => null;

    public void Before(Machine machine) => _before = FragmentationMap.Of(machine, "before");

    /// <summary>Looks at a machine in the middle of a replay.</summary>
    public void During(Machine machine, long operations)
    {
        long free = machine.Zones.Sum(z => z.TrueFreePages);
        if (free < (_fullest?.FreePages ?? _before?.FreePages ?? long.MaxValue))
        {
            _fullest = FragmentationMap.Of(machine, $"after {operations:N0} operations");
        }
    }

    /// <summary>Looks at a machine at the end; what was in between is forgotten where the end is the fullest moment.</summary>
    public void After(Machine machine)
    {
        _after = FragmentationMap.Of(machine, "at the end");
        _fullest = _fullest is not null && _fullest.FreePages < _after.FreePages ? _fullest : null;
    }
}
