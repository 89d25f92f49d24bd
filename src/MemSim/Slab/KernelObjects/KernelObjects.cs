using MemSim.Hardware;

namespace MemSim.Slab;

/// <summary>The slab caches of the kernel objects of processes and files, under the kernel's names and with its sizes.</summary>
/// <remarks>A cache that exists is used, whoever made it: on a machine from a snapshot, the original's.</remarks>
internal sealed class KernelObjects
{
    private readonly Machine _machine;
    private readonly KmemCache?[] _caches;
    // Guards _caches: they are made once.
    private readonly MachineLock _lock;
    private readonly long[] _inUse;

    public KernelObjects(Machine machine)
    {
        _machine = machine;
        _lock = new MachineLock(machine, "KernelObjects._lock");
        _caches = new KmemCache?[KernelObjectLayout.All.Length];
        _inUse = new long[_caches.Length];
    }

    /// <summary>Creates the caches: the first process or file is on its way. Until then nobody meets them in slabinfo, or merges with them.</summary>
    private void CreateCaches()
    {
        using (new LockScope(_lock))
        {
            foreach (KernelObjectLayout layout in KernelObjectLayout.All)
            {
                _caches[(int)layout.Kind] ??= _machine.Slab.Find(layout.NameOn(_machine)) ?? Create(layout);
            }
        }
    }

    /// <summary>Objects in use, by kind.</summary>
    public long InUse(KernelObject kind) => _inUse[(int)kind];

    /// <summary>Where objects of a kind come from.</summary>
    public KmemCache CacheOf(KernelObject kind)
    {
        if (Volatile.Read(ref _caches[^1]) is null)
        {
            CreateCaches();
        }

        return _caches[(int)kind]!;
    }

    /// <summary>Whether a cache is one of these.</summary>
    public bool Owns(KmemCache cache) => Array.IndexOf(_caches, cache) >= 0;

    /// <summary>Takes the memory of an object; null when there is none.</summary>
    public VirtualAddress Take(Cpu cpu, KernelObject kind)
    {
        VirtualAddress obj = Allocate(cpu, CacheOf(kind), Gfp.KernelAccount);
        if (!obj.IsNull)
        {
            _inUse[(int)kind]++;
        }

        return obj;
    }

    /// <summary>Frees an object; the null address is ignored.</summary>
    public void Give(Cpu cpu, KernelObject kind, VirtualAddress obj)
    {
        if (!obj.IsNull)
        {
            _inUse[(int)kind]--;
            Free(cpu, CacheOf(kind), obj);
        }
    }

    /// <summary>Allocates an object that the task's cgroup pays for.</summary>
    public VirtualAddress Allocate(Cpu cpu, KmemCache cache, Gfp gfp)
    {
        if (_machine.Hooks.Charges is null)
        {
            return cpu.Alloc(cache, gfp);
        }

        if (!_machine.Cgroups.TryChargeObject(cpu, cache, gfp))
        {
            return default;
        }

        VirtualAddress obj = cpu.Alloc(cache, gfp);
        if (obj.IsNull)
        {
            _machine.Cgroups.TakeBackObject(cpu, cache);
        }
        else
        {
            _machine.Cgroups.NoteObject(cpu, cache, obj);
        }

        return obj;
    }

    /// <summary>Frees such an object.</summary>
    public void Free(Cpu cpu, KmemCache cache, VirtualAddress obj)
    {
        if (_machine.Hooks.Charges is not null)
        {
            _machine.Cgroups.UnchargeObject(cpu, obj);
        }

        cpu.Free(cache, obj);
    }

    private KmemCache Create(KernelObjectLayout layout) =>
        _machine.Slab.CreateBootCache(layout.NameOn(_machine), layout.BytesOn(_machine), layout.ArgsOn(_machine, Prepare), layout.FlagsOn(_machine));

    /// <summary>What constructors of the kernel write into the objects is not simulated, but that they have one decides where the link of free objects lies.</summary>
    private static void Prepare(Cpu cpu, VirtualAddress obj)
    {
    }
}
