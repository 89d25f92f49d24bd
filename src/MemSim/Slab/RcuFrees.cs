namespace MemSim.Slab;

/// <summary>Objects that are freed when a grace period has ended (<c>kfree_rcu()</c>): those in sheaves, of which it knows the caches, and the others, in the order in which they came.</summary>
/// <remarks>
/// A real grace period ends when each CPU was seen outside of readers; here after a fixed simulated time, or when somebody waits for it. The kernel frees what is not in sheaves in batches, five
/// seconds after the first of them; the pages that its batches are made of are not simulated.
/// </remarks>
internal sealed class RcuFrees(SlabAllocator allocator)
{
    /// <summary>How long a grace period lasts here, in nanoseconds: three ticks, after which the kernel first looks at the CPUs.</summary>
    public const long GracePeriod = 12_000_000;

    /// <summary>How long objects outside of sheaves wait for others, in nanoseconds (<c>KFREE_DRAIN_JIFFIES</c>).</summary>
    private const long BatchWait = 5_000_000_000;

    // Guards _caches, _objects and _known.
    private readonly Lock _lock = new();
    private readonly HashSet<KmemCache> _caches = [];
    private readonly Queue<(ulong Address, long Due)> _objects = new();
    private readonly HashSet<ulong> _known = [];

    /// <summary>The objects outside of sheaves, the oldest first, with the time they still have to wait.</summary>
    public IReadOnlyList<(ulong Address, long Left)> Objects
    {
        get
        {
            lock (_lock)
            {
                return [.. _objects.Select(o => (o.Address, o.Due - allocator.Machine.Clock.Nanoseconds))];
            }
        }
    }

    /// <summary>Says that a cache has sheaves that wait.</summary>
    public void Note(KmemCache cache)
    {
        lock (_lock)
        {
            _caches.Add(cache);
        }
    }

    /// <summary>Keeps an object that is in no sheaf.</summary>
    /// <returns>Whether it was not there already.</returns>
    public bool Keep(ulong address) => Keep(address, BatchWait + GracePeriod);

    /// <summary>Keeps an object for so long.</summary>
    public bool Keep(ulong address, long wait)
    {
        lock (_lock)
        {
            if (!_known.Add(address))
            {
                return false;
            }

            _objects.Enqueue((address, allocator.Machine.Clock.Nanoseconds + wait));
            return true;
        }
    }

    /// <summary>Adds the objects outside of sheaves.</summary>
    public void AddTo(HashSet<ulong> addresses)
    {
        lock (_lock)
        {
            addresses.UnionWith(_known);
        }
    }

    /// <summary>Frees what waited for grace periods that have ended, or whatever waits.</summary>
    public void End(Cpu cpu, bool all)
    {
        long now = all ? long.MaxValue : allocator.Machine.Clock.Nanoseconds;
        foreach (KmemCache cache in all ? [.. allocator.Caches] : Waiting())
        {
            allocator.Backend.EndGrace(cpu, cache, now, all);
        }

        while (Next(now) is ulong address and not 0)
        {
            allocator.FreeOwn(cpu, new VirtualAddress(address), "kfree_rcu_work");
        }
    }

    private KmemCache[] Waiting()
    {
        lock (_lock)
        {
            return _caches.Count == 0 ? [] : [.. _caches.Where(c => c.References > 0).OrderBy(c => c.Id)];
        }
    }

    private ulong Next(long now)
    {
        lock (_lock)
        {
            if (!_objects.TryPeek(out (ulong Address, long Due) first) || first.Due > now)
            {
                return 0;
            }

            _objects.Dequeue();
            _known.Remove(first.Address);
            return first.Address;
        }
    }
}
