using MemSim.Diagnostics;

namespace MemSim.Slab;

/// <summary>Checks that the objects in use are those that something alive holds: each a live object of its cache, none held twice, none forgotten.</summary>
internal sealed class KernelObjectCheck(Machine machine)
{
    private readonly KernelObjects _objects = machine.Slab.KernelObjects;
    private readonly long[] _found = new long[KernelObjectLayout.All.Length];
    private readonly HashSet<ulong> _held = [];

    public void Add(KernelObject kind, VirtualAddress obj)
    {
        KmemCache cache = _objects.CacheOf(kind);
        if (!machine.Slab.IsLiveObject(cache, obj))
        {
            BugReporter.Corrupt($"{kind} at {obj} is no live object of the cache {cache.Name}");
        }

        if (!_held.Add(obj.Value))
        {
            BugReporter.Corrupt($"{kind} at {obj} is in use twice");
        }

        _found[(int)kind]++;
    }

    /// <summary>Compares what was found with the count of a kind.</summary>
    public void Require(KernelObject kind)
    {
        if (_objects.InUse(kind) != _found[(int)kind])
        {
            BugReporter.Corrupt($"{_objects.InUse(kind)} objects of the cache {_objects.CacheOf(kind).Name} are in use but {_found[(int)kind]} are held");
        }
    }
}
