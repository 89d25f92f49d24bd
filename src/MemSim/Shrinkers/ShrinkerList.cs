using MemSim.Statistics;

namespace MemSim.Shrinkers;

/// <summary>The registered shrinkers, and how much of each is asked for (<c>shrink_slab()</c>).</summary>
internal sealed class ShrinkerList
{
    private readonly Machine _machine;
    private Shrinker[] _shrinkers = [];

    public ShrinkerList(Machine machine) => _machine = machine;

    public IReadOnlyList<Shrinker> All => _shrinkers;

    /// <summary>Who listens; null while nobody does.</summary>
    public IShrinkTrace? Trace { get; set; }

    /// <summary>As <see cref="MachineReclaim.RegisterShrinker"/>.</summary>
    public void Register(Shrinker shrinker)
    {
        ArgumentNullException.ThrowIfNull(shrinker);
        _machine.ThrowIfDisposed();
        Add(shrinker);
        _machine.Hooks.EnableReclaim();
    }

    private void Add(Shrinker shrinker)
    {
        if (Array.IndexOf(_shrinkers, shrinker) >= 0)
        {
            throw new ArgumentException($"shrinker {shrinker.Name} is registered already", nameof(shrinker));
        }

        shrinker.Prepare(_machine.Nodes[^1].Id + 1);
        _shrinkers = [.. _shrinkers, shrinker];
    }

    public bool Remove(Shrinker shrinker)
    {
        int before = _shrinkers.Length;
        _shrinkers = [.. _shrinkers.Where(s => !ReferenceEquals(s, shrinker))];
        return _shrinkers.Length != before;
    }

    /// <summary>Asks every shrinker for its share.</summary>
    /// <returns>Slab pages that became free by it (<c>reclaimed_slab</c>).</returns>
    public long Shrink(Cpu cpu, Gfp gfp, Node node, int priority)
    {
        if (_shrinkers.Length == 0)
        {
            return 0;
        }

        long pages = SlabPages();
        foreach (Shrinker shrinker in _shrinkers)
        {
            Shrink(cpu, gfp, node, priority, shrinker);
        }

        return Math.Max(0, pages - SlabPages());
    }

    /// <summary>Asks all shrinkers for all they have, until they have hardly anything left (<c>drop_slab()</c>).</summary>
    public void Drop(Cpu cpu)
    {
        foreach (Node node in _machine.Nodes)
        {
            int shift = 0;
            long before;
            do
            {
                before = Freed();
                foreach (Shrinker shrinker in _shrinkers)
                {
                    Shrink(cpu, Gfp.Kernel, node, 0, shrinker);
                }
            }
            while ((Freed() - before) >> shift++ > 1);
        }
    }

    private long Freed()
    {
        long freed = 0;
        foreach (Shrinker shrinker in _shrinkers)
        {
            freed += shrinker.FreedObjects;
        }

        return freed;
    }

    private long SlabPages()
    {
        long pages = 0;
        foreach (Node node in _machine.Nodes)
        {
            pages += node.Counters.SlabReclaimable + node.Counters.SlabUnreclaimable;
        }

        return pages;
    }

    private void Shrink(Cpu cpu, Gfp gfp, Node node, int priority, Shrinker shrinker)
    {
        long freeable = Ask(shrinker, new ShrinkRequest(cpu, gfp, node, 0));
        if (freeable <= 0)
        {
            return;
        }

        long deferred = shrinker.TakeDeferred(node.Id);
        long delta = shrinker.Seeks == 0 ? freeable / 2 : (freeable >> priority) * 4 / shrinker.Seeks;
        long left = Math.Min((deferred >> priority) + delta, 2 * freeable);
        Trace?.ShrinkSlabStart(cpu, new ShrinkSlabStartEvent(shrinker, node.Id, deferred, gfp, freeable, delta, left, priority));
        long scanned = 0;
        long freed = 0;
        try
        {
            while (left >= shrinker.Batch || left >= freeable)
            {
                long ask = Math.Min(shrinker.Batch, left);
                long got = ask == 0 ? Shrinker.Stop : Ask(shrinker, new ShrinkRequest(cpu, gfp, node, ask));
                if (got < 0)
                {
                    break;
                }

                freed += got;
                scanned += ask;
                left -= ask;
                _machine.Events.Count(VmEvent.SlabsScanned, ask);
            }
        }
        finally
        {
            // Whatever a shrinker did: what it did not do is left for the next time.
            long next = Math.Min(Math.Max(deferred + delta - scanned, 0), 2 * freeable);
            long now = shrinker.AddDeferred(node.Id, next);
            shrinker.FreedObjects += freed;
            shrinker.ScannedObjects += scanned;
            Trace?.ShrinkSlabEnd(cpu, new ShrinkSlabEndEvent(shrinker, node.Id, freed, deferred, now, left));
        }
    }

    /// <summary>Calls a shrinker. What it throws is reported and ends its part of this run, not reclaim.</summary>
    private long Ask(Shrinker shrinker, in ShrinkRequest request)
    {
        try
        {
            return request.ToScan == 0 ? shrinker.Count(request) : shrinker.Scan(request);
        }
        catch (Exception e) when (e is not KernelBugException)
        {
            shrinker.LastFailure = e;
            string what = request.ToScan == 0 ? "count" : "free";
            _machine.Bugs.Raise(KernelBugKind.StillInUse, $"BUG: shrinker {shrinker.Name} threw {e.GetType().Name} when asked to {what} objects: {e.Message}",
                $"node {request.Node.Id}, {request.ToScan} objects to scan, {GfpText.FormatWithHex(request.Gfp)}\n{e}\nNothing of the allocator's state is lost: the objects it did not free are asked for again.\n");
            return Shrinker.Stop;
        }
    }
}
