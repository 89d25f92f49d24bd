using MemSim.PageAllocation;

namespace MemSim.Observability;

/// <summary>Says who holds memory: what is handed out, by call site and task, what came since a mark, what nobody points to.</summary>
/// <remarks>
/// Costs nothing until <see cref="Track"/> is called: what is live is read from the allocators themselves. Who asked is known from then on; of pages since the boot with
/// <see cref="MachineSpec.WithPageOwner"/>, of objects also with <c>slub_debug=U</c>. Names of callers are those that <see cref="Cpu.CallSite"/> sets.
/// </remarks>
public sealed class LeakDetector
{
    private readonly Machine _machine;
    private ObjectOwnerTracker? _objects;

    internal LeakDetector(Machine machine) => _machine = machine;

    /// <summary>Whether callers are recorded, of pages and of objects.</summary>
    public bool IsTracking => _objects is not null;

    /// <summary>Records from now on who asks for pages (as <c>page_owner=on</c>) and objects. Allocations take a slower path then.</summary>
    public void Track()
    {
        _machine.ThrowIfDisposed();
        if (_objects is null)
        {
            _objects = new ObjectOwnerTracker(_machine);
            _machine.Slab.AttachTrace(_objects);
            _machine.Hooks.TrackPageOwners();
        }
    }

    /// <summary>Notes what is handed out now. Pages that only wait to be freed are freed before, so that they are not taken for leaks later.</summary>
    public AllocationMark Mark()
    {
        Settle();
        return new AllocationMark(Inventory.Of(_machine), _machine);
    }

    /// <summary>The blocks of pages that are handed out and that nobody else in the machine can name, largest groups first.</summary>
    /// <param name="since">Only those that were not at this mark; null for all.</param>
    /// <remarks>Page tables, slabs, pages of processes, files, per-CPU memory and areas are not among them.</remarks>
    public IReadOnlyList<LivePages> FindLivePages(AllocationMark? since = null) => PagesOf(Inventory.Of(Live(since)), since);

    /// <summary>The objects that are handed out, by cache and call site, largest groups first.</summary>
    /// <param name="since">Only those that were not at this mark; null for all.</param>
    public IReadOnlyList<LiveObjects> FindLiveObjects(AllocationMark? since = null) => ObjectsOf(Inventory.Of(Live(since)), since, onlyGrown: false);

    /// <summary>The areas of vmalloc space, by address.</summary>
    /// <param name="since">Only those that were not at this mark; null for all.</param>
    public IReadOnlyList<LiveArea> FindLiveAreas(AllocationMark? since = null) => AreasOf(Inventory.Of(Live(since)), since);

    /// <summary>What came since a mark and is still there.</summary>
    /// <param name="since">The mark.</param>
    /// <remarks>Pages that only wait to be freed are freed before. Of objects only caches are named that have more of them than at the mark.</remarks>
    public LeakReport Find(AllocationMark since)
    {
        ArgumentNullException.ThrowIfNull(since);
        Machine machine = Live(since);
        Settle();
        return ReportOf(Inventory.Of(machine), since);
    }

    /// <summary>Throws when something came since a mark, and marks what is live now.</summary>
    internal AllocationMark AssertNoLeaksAndMark(AllocationMark since)
    {
        Settle();
        Inventory now = Inventory.Of(_machine);
        return ReportOf(now, since) is { IsEmpty: false } report ? throw new LeakException(report) : new AllocationMark(now, _machine);
    }

    /// <summary>Throws when something that came since a mark is still there.</summary>
    /// <param name="since">The mark.</param>
    /// <exception cref="LeakException">It is; the message lists it.</exception>
    public void AssertNoLeaks(AllocationMark since)
    {
        LeakReport report = Find(since);
        if (!report.IsEmpty)
        {
            throw new LeakException(report);
        }
    }

    /// <summary>Objects and areas, asked for since <see cref="Track"/>, to which nothing in memory points (<c>kmemleak</c>).</summary>
    /// <param name="held">Addresses that the caller's own variables hold: the simulation cannot see those.</param>
    /// <returns>What is unreachable, by address.</returns>
    /// <remarks>
    /// Searched, as <c>kmemleak</c> does, word by word: blocks of pages, kernel stacks, per-CPU memory, and every object reached from there or from <paramref name="held"/>. An address anywhere
    /// inside an object counts. Objects of the kernel itself (processes, files) are owned by the simulation and not among the candidates.
    /// </remarks>
    /// <exception cref="InvalidOperationException"><see cref="Track"/> was not called, or the machine has no contents of RAM.</exception>
    public IReadOnlyList<UnreferencedObject> FindUnreferenced(params ReadOnlySpan<VirtualAddress> held)
    {
        _machine.ThrowIfDisposed();
        return _objects is null ? throw new InvalidOperationException("nobody recorded who asked for objects: call Leaks.Track() first")
            : !_machine.Ram.HasContents ? throw new InvalidOperationException("a machine without contents of RAM has no pointers to follow")
            : new UnreferencedScan(_machine, _objects).Run(held);
    }

    /// <summary>Empties what holds pages only for later: batches of the LRU, cached stacks, addresses that interrupts wanted freed.</summary>
    private void Settle()
    {
        _machine.ThrowIfDisposed();
        _machine.Lru.DrainAll();
        if (!_machine.Ram.HasContents)
        {
            return;
        }

        foreach (Cpu cpu in _machine.Cpus)
        {
            if (cpu.IsOnline && !cpu.Context.InAtomic)
            {
                _machine.Stacks.DropCache(cpu);
                _machine.Memory.Vmalloc.RunDeferred(cpu);
            }
        }
    }

    private LeakReport ReportOf(Inventory now, AllocationMark since) =>
        new(PagesOf(now, since), ObjectsOf(now, since, onlyGrown: true), AreasOf(now, since)) { LostTables = now.StrayTables - since.StrayTables };

    private Machine Live(AllocationMark? since)
    {
        _machine.ThrowIfDisposed();
        return since is null || ReferenceEquals(since.Machine, _machine) ? _machine : throw new ArgumentException("the mark is another machine's", nameof(since));
    }

    private List<LivePages> PagesOf(Inventory now, AllocationMark? since)
    {
        Dictionary<(string Site, string Task, Gfp Gfp, int Order), List<Page>> groups = [];
        foreach ((int pfn, int order) in now.Blocks)
        {
            if (since?.Blocks.Contains((pfn, order)) == true)
            {
                continue;
            }

            PageEvent? seen = _machine.Hooks.OwnerTracker?.TryFind(pfn, out PageHistory history) == true ? history.Allocated : null;
            ObjectEvent? large = _objects?.Find(_machine.Addresses.AddressOf(pfn).Value);
            (string, string, Gfp, int) key = (large?.CallSite ?? seen?.CallSite ?? "", seen?.Task.ToString() ?? "", seen?.Gfp ?? Gfp.None, order);
            if (!groups.TryGetValue(key, out List<Page>? pages))
            {
                groups.Add(key, pages = []);
            }

            pages.Add(new Page(_machine, pfn));
        }

        return [.. groups.Select(g => new LivePages(g.Key.Site, g.Key.Task, g.Key.Gfp, g.Key.Order, g.Value)).OrderByDescending(g => g.Pages).ThenBy(g => g.Blocks[0].FrameIndex)];
    }

    private List<LiveObjects> ObjectsOf(Inventory now, AllocationMark? since, bool onlyGrown)
    {
        Dictionary<string, long>? counts = onlyGrown ? now.Objects.GroupBy(obj => obj.Cache.Name).ToDictionary(g => g.Key, g => g.LongCount()) : null;
        return
        [
            .. now.Objects
                .Where(obj => since?.Objects.Contains(obj.Address) != true && (counts is null || counts[obj.Cache.Name] > since!.ObjectsByCache.GetValueOrDefault(obj.Cache.Name)))
                .GroupBy(obj => (obj.Cache, Site: _objects?.Find(obj.Address)?.CallSite ?? _machine.Slab.Debug.AllocationOf(obj.Address)?.CallSite ?? ""))
                .Select(group => new LiveObjects(group.Key.Cache, group.Key.Site, group.Count()))
                .OrderByDescending(group => group.Bytes).ThenBy(group => group.Cache.Name, StringComparer.Ordinal).ThenBy(group => group.CallSite, StringComparer.Ordinal),
        ];
    }

    private static List<LiveArea> AreasOf(Inventory now, AllocationMark? since) =>
        [.. now.Areas.Where(area => since?.Areas.Contains(area.Start) != true).Select(area => new LiveArea(new VirtualAddress(area.Start), area.Count, area.Caller, area.OwnsPages))];
}
