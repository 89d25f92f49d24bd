namespace MemSim.Slab;

/// <summary>A cache's sheaves: arrays of free objects before its slabs. Each CPU has a main one, perhaps a spare and one for objects that wait for a grace period; each node's barn keeps full and empty ones.</summary>
/// <remarks>
/// Kernel: <c>struct slub_percpu_sheaves</c>, <c>struct node_barn</c> (6.18). A CPU's sheaves are touched by that CPU alone, a barn under its lock. The entries are the host's memory, but each
/// sheaf has a place in a kmalloc cache too (<see cref="ArrayCache.Home"/>), as in the kernel: getting one takes an object there and may fail. Without a place are the main sheaves of caches that the boot makes.
/// </remarks>
internal sealed class SheafCache
{
    /// <summary>A barn takes no more full sheaves than this from CPUs (<c>MAX_FULL_SHEAVES</c>).</summary>
    public const int MaxFullSheaves = 10;

    /// <summary>A barn takes no more empty sheaves than this back after a grace period (<c>MAX_EMPTY_SHEAVES</c>).</summary>
    public const int MaxEmptySheaves = 10;

    private readonly ArrayCache[] _spares;
    private readonly ArrayCache[] _rcuFree;
    private readonly ArrayMemory _memory = new();
    private readonly List<ArrayCache> _waiting = [];
    private readonly List<ArrayCache> _lent = [];
    // Guards _unused, _memory, _waiting, _lent and _counts.
    private readonly Lock _lock = new();
    private readonly KmemCache _cache;
    private readonly SheafMemory _homes;
    private readonly bool _parallel;
    private ArrayCache _unused;
    private SheafCounts _counts;

    /// <summary>What was counted so far.</summary>
    public SheafCounts Counts
    {
        get => _counts;
        set => _counts = value;
    }

    public SheafCache(KmemCache cache, SheafMemory homes)
    {
        _cache = cache;
        _homes = homes;
        _parallel = cache.Machine.IsParallel;
        Barns = new SheafBarn[cache.Machine.Nodes[^1].Id + 1];
        for (int node = 0; node < Barns.Length; node++)
        {
            Barns[node] = new SheafBarn(cache.Machine);
        }

        int cpus = cache.Machine.Cpus.Count;
        _spares = new ArrayCache[cpus];
        _rcuFree = new ArrayCache[cpus];
        for (int cpu = 0; cpu < cpus; cpu++)
        {
            cache.Cpus[cpu].Array = Place(0, cache.SheafCapacity);
        }
    }

    public SheafBarn[] Barns { get; }

    /// <summary>Full sheaves of objects that wait for the end of a grace period, the oldest first; their node and when they may go is in them.</summary>
    public List<ArrayCache> Waiting => _waiting;

    /// <summary>Prefilled sheaves in the hands of who asked for them.</summary>
    public List<ArrayCache> Lent => _lent;

    /// <summary>A CPU's spare sheaf; null for none.</summary>
    public ref ArrayCache SpareOf(int cpu) => ref _spares[cpu];

    /// <summary>A CPU's sheaf that fills with objects of <c>kfree_rcu()</c>; null for none.</summary>
    public ref ArrayCache RcuFreeOf(int cpu) => ref _rcuFree[cpu];

    /// <summary>Gives the CPUs' main sheaves their places in kmalloc memory, when a cache is created.</summary>
    /// <returns>Whether there was memory; else none has a place.</returns>
    public bool Furnish(Cpu cpu)
    {
        for (int i = 0; i < _spares.Length; i++)
        {
            bool taken = _homes.TryTake(cpu, _cache, _cache.SheafCapacity, Gfp.Kernel, out ulong home);
            _cache.Cpus[i].Array.Home = home;
            if (!taken)
            {
                Unfurnish();
                return false;
            }
        }

        return true;
    }

    /// <summary>Gives the places of the CPUs' main sheaves back, when a cache is destroyed; they are free with <see cref="SheafMemory.Settle"/>.</summary>
    public void Unfurnish()
    {
        for (int i = 0; i < _spares.Length; i++)
        {
            ref ulong home = ref _cache.Cpus[i].Array.Home;
            _homes.GiveLater(home);
            home = 0;
        }
    }

    /// <summary>An empty sheaf that nobody has (<c>alloc_empty_sheaf()</c>); null without memory.</summary>
    public ArrayCache TakeEmpty(Cpu cpu, Gfp gfp) => TakeEmpty(cpu, gfp, _cache.SheafCapacity);

    /// <summary>An empty sheaf with room for so many objects.</summary>
    public ArrayCache TakeEmpty(Cpu cpu, Gfp gfp, int capacity) => _homes.TryTake(cpu, _cache, capacity, gfp, out ulong home) ? Place(home, capacity) : default;

    /// <summary>A sheaf in a place that is known: a copy's, or one that has none.</summary>
    public ArrayCache Place(ulong home, int capacity)
    {
        lock (_lock)
        {
            ArrayCache sheaf = _unused;
            if (!sheaf.IsNull && capacity == _cache.SheafCapacity)
            {
                _unused = sheaf.Next;
                ArrayMemory.Empty(sheaf, capacity, batch: 0);
            }
            else
            {
                sheaf = _memory.Make(capacity, batch: 0);
            }

            sheaf.Home = home;
            return sheaf;
        }
    }

    /// <summary>Takes back a sheaf that is empty and in nobody's hands (<c>free_empty_sheaf()</c>).</summary>
    public void GiveEmpty(Cpu cpu, ArrayCache sheaf) => _homes.Give(cpu, Forget(sheaf));

    /// <summary>As <see cref="GiveEmpty"/>, for who holds the table of caches: its memory is free with <see cref="SheafMemory.Settle"/>.</summary>
    public void GiveEmptyLater(ArrayCache sheaf) => _homes.GiveLater(Forget(sheaf));

    /// <summary>Puts a sheaf on one of the lists, of those that wait or that are lent.</summary>
    public void List(List<ArrayCache> list, ArrayCache sheaf)
    {
        lock (_lock)
        {
            list.Add(sheaf);
        }
    }

    /// <summary>Takes a sheaf off one of the lists.</summary>
    /// <returns>Whether it was there.</returns>
    public bool Unlist(List<ArrayCache> list, ArrayCache sheaf)
    {
        lock (_lock)
        {
            return list.Remove(sheaf);
        }
    }

    /// <summary>The sheaf that waits longest; null where none does, or its time has not come.</summary>
    public ArrayCache TakeWaiting(long now)
    {
        lock (_lock)
        {
            if (_waiting.Count == 0 || _waiting[0].Due > now)
            {
                return default;
            }

            ArrayCache first = _waiting[0];
            _waiting.RemoveAt(0);
            return first;
        }
    }

    /// <summary>Adds where the cache's sheaves lie.</summary>
    public void AddHomes(HashSet<ulong> homes)
    {
        lock (_lock)
        {
            HashSet<ArrayCache> free = [];
            for (ArrayCache sheaf = _unused; !sheaf.IsNull; sheaf = sheaf.Next)
            {
                free.Add(sheaf);
            }

            foreach (ArrayCache sheaf in _memory.All)
            {
                if (sheaf.Home != 0 && !free.Contains(sheaf))
                {
                    homes.Add(sheaf.Home);
                }
            }
        }
    }

    public void Counted(SheafEvent what)
    {
        if (_parallel)
        {
            lock (_lock)
            {
                Add(what);
            }
        }
        else
        {
            Add(what);
        }
    }

    /// <summary>The counts, and what the sheaves hold now.</summary>
    public SheafCounts Count()
    {
        SheafCounts counts = _counts;
        for (int cpu = 0; cpu < _spares.Length; cpu++)
        {
            counts.ObjectsOfCpus += _cache.Cpus[cpu].Array.Avail + (_spares[cpu].IsNull ? 0 : _spares[cpu].Avail);
            counts.ObjectsAwaitingRcu += _rcuFree[cpu].IsNull ? 0 : _rcuFree[cpu].Avail;
        }

        counts.ObjectsAwaitingRcu += ObjectsIn(_waiting);
        counts.ObjectsLent += ObjectsIn(_lent);
        foreach (SheafBarn barn in Barns)
        {
            counts.FullInBarns += barn.FullCount;
            counts.EmptyInBarns += barn.EmptyCount;
            for (ArrayCache sheaf = barn.FirstFull; !sheaf.IsNull; sheaf = sheaf.Next)
            {
                counts.ObjectsInBarns += sheaf.Avail;
            }
        }

        return counts;
    }

    private ulong Forget(ArrayCache sheaf)
    {
        ulong home = sheaf.Home;
        lock (_lock)
        {
            if (sheaf.Limit == _cache.SheafCapacity)
            {
                sheaf.Next = _unused;
                _unused = sheaf;
            }
            else
            {
                _memory.Free(sheaf);
            }
        }

        return home;
    }

    private long ObjectsIn(List<ArrayCache> sheaves)
    {
        lock (_lock)
        {
            return sheaves.Sum(sheaf => sheaf.Avail);
        }
    }

    private void Add(SheafEvent what)
    {
        switch (what)
        {
            case SheafEvent.Refill:
                _counts.Refills++;
                break;
            case SheafEvent.Flush:
                _counts.Flushes++;
                break;
            case SheafEvent.Swap:
                _counts.Swaps++;
                break;
            case SheafEvent.BarnGet:
                _counts.BarnGets++;
                break;
            case SheafEvent.BarnGetFail:
                _counts.BarnGetFails++;
                break;
            case SheafEvent.BarnPut:
                _counts.BarnPuts++;
                break;
            default:
                _counts.BarnPutFails++;
                break;
        }
    }
}

/// <summary>What is counted of sheaves.</summary>
internal enum SheafEvent
{
    Refill,
    Flush,
    Swap,
    BarnGet,
    BarnGetFail,
    BarnPut,
    BarnPutFail,
}
