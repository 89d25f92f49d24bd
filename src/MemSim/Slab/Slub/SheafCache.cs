using System.Runtime.InteropServices;
using MemSim.Hardware;

namespace MemSim.Slab;

/// <summary>A cache's sheaves: arrays of free objects before its slabs. Each CPU has a main one, perhaps a spare; each node's barn keeps full and empty ones.</summary>
/// <remarks>
/// Kernel: <c>struct slub_percpu_sheaves</c>, <c>struct node_barn</c> (6.18). A CPU's sheaves are touched by that CPU alone, a barn under its lock. The kernel takes
/// the sheaves themselves from kmalloc; here they are the host's memory, so they neither fail nor show up in kmalloc's caches.
/// </remarks>
internal sealed unsafe class SheafCache
{
    /// <summary>A barn takes no more full sheaves than this from CPUs (<c>MAX_FULL_SHEAVES</c>).</summary>
    public const int MaxFullSheaves = 10;

    private readonly ArrayCache*[] _spares;
    private readonly List<nint> _memory = [];
    // Guards _unused, _memory and _counts.
    private readonly Lock _lock = new();
    private readonly KmemCache _cache;
    private readonly bool _parallel;
    private ArrayCache* _unused;
    private SheafCounts _counts;

    /// <summary>What was counted so far.</summary>
    public SheafCounts Counts
    {
        get => _counts;
        set => _counts = value;
    }

    public SheafCache(KmemCache cache)
    {
        _cache = cache;
        _parallel = cache.Machine.IsParallel;
        Barns = new SheafBarn[cache.Machine.Nodes[^1].Id + 1];
        for (int node = 0; node < Barns.Length; node++)
        {
            Barns[node] = new SheafBarn();
        }

        _spares = new ArrayCache*[cache.Machine.Cpus.Count];
        for (int cpu = 0; cpu < _spares.Length; cpu++)
        {
            cache.Cpus[cpu].Array = TakeEmpty();
        }
    }

    ~SheafCache()
    {
        foreach (nint memory in _memory)
        {
            NativeMemory.AlignedFree((void*)memory);
        }
    }

    public SheafBarn[] Barns { get; }

    /// <summary>A CPU's spare sheaf; null for none.</summary>
    public ref ArrayCache* SpareOf(int cpu) => ref _spares[cpu];

    /// <summary>An empty sheaf that nobody has (<c>alloc_empty_sheaf()</c>).</summary>
    public ArrayCache* TakeEmpty()
    {
        lock (_lock)
        {
            if (_unused != null)
            {
                ArrayCache* sheaf = _unused;
                _unused = sheaf->Next;
                sheaf->Next = null;
                return sheaf;
            }

            int capacity = _cache.SheafCapacity;
            ArrayCache* made = (ArrayCache*)NativeMemory.AlignedAlloc((nuint)(ArrayCache.HeaderBytes + (capacity * sizeof(ArrayEntry))), ArrayCache.HeaderBytes);
            *made = new ArrayCache { Limit = capacity };
            _memory.Add((nint)made);
            return made;
        }
    }

    /// <summary>Takes back a sheaf that is empty and in nobody's hands (<c>free_empty_sheaf()</c>).</summary>
    public void GiveEmpty(ArrayCache* sheaf)
    {
        lock (_lock)
        {
            sheaf->Next = _unused;
            _unused = sheaf;
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
            counts.ObjectsOfCpus += _cache.Cpus[cpu].Array->Avail + (_spares[cpu] == null ? 0 : _spares[cpu]->Avail);
        }

        foreach (SheafBarn barn in Barns)
        {
            counts.FullInBarns += barn.FullCount;
            counts.EmptyInBarns += barn.EmptyCount;
            for (ArrayCache* sheaf = barn.FirstFull; sheaf != null; sheaf = sheaf->Next)
            {
                counts.ObjectsInBarns += sheaf->Avail;
            }
        }

        return counts;
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

/// <summary>A node's sheaves of a cache that no CPU has (<c>struct node_barn</c>); of both lists the one put in last is taken first.</summary>
internal sealed unsafe class SheafBarn
{
    // Guards _full, _empty and their counts (barn->lock).
    private PaddedLock _lock;
    private ArrayCache* _full;
    private ArrayCache* _empty;

    public int FullCount { get; private set; }

    public int EmptyCount { get; private set; }

    public ArrayCache* FirstFull => _full;

    public ArrayCache* FirstEmpty => _empty;

    /// <summary>Gives an empty sheaf for a full one; null, and nothing changes, where there is no full one.</summary>
    public ArrayCache* ReplaceEmpty(ArrayCache* empty)
    {
        _lock.Enter();
        ArrayCache* full = _full;
        if (full != null)
        {
            _full = full->Next;
            full->Next = null;
            FullCount--;
            Push(ref _empty, empty);
            EmptyCount++;
        }

        _lock.Exit();
        return full;
    }

    /// <summary>Gives a full sheaf for an empty one; null, and nothing changes, where there is no empty one or there are too many full ones.</summary>
    public ArrayCache* ReplaceFull(ArrayCache* full, out bool tooMany)
    {
        _lock.Enter();
        tooMany = FullCount >= SheafCache.MaxFullSheaves;
        ArrayCache* empty = tooMany ? null : _empty;
        if (empty != null)
        {
            _empty = empty->Next;
            empty->Next = null;
            EmptyCount--;
            Push(ref _full, full);
            FullCount++;
        }

        _lock.Exit();
        return empty;
    }

    /// <summary>Takes an empty sheaf; null where there is none.</summary>
    public ArrayCache* TakeEmpty()
    {
        _lock.Enter();
        ArrayCache* empty = _empty;
        if (empty != null)
        {
            _empty = empty->Next;
            empty->Next = null;
            EmptyCount--;
        }

        _lock.Exit();
        return empty;
    }

    public void PutFull(ArrayCache* full)
    {
        _lock.Enter();
        Push(ref _full, full);
        FullCount++;
        _lock.Exit();
    }

    public void PutEmpty(ArrayCache* empty)
    {
        _lock.Enter();
        Push(ref _empty, empty);
        EmptyCount++;
        _lock.Exit();
    }

    /// <summary>Takes all sheaves out, full ones first, as a list.</summary>
    public ArrayCache* TakeAll()
    {
        _lock.Enter();
        ArrayCache* all = _full;
        ArrayCache** end = &all;
        while (*end != null)
        {
            end = &(*end)->Next;
        }

        *end = _empty;
        _full = _empty = null;
        FullCount = EmptyCount = 0;
        _lock.Exit();
        return all;
    }

    private static void Push(ref ArrayCache* list, ArrayCache* sheaf)
    {
        sheaf->Next = list;
        list = sheaf;
    }
}
