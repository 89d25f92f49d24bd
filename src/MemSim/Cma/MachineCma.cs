using MemSim.Cma;
using MemSim.Diagnostics;
using MemSim.Pages;

namespace MemSim;

/// <summary>Contiguous memory: areas reserved at boot, and ranges cleared on demand. <see cref="Machine.Cma"/>.</summary>
public sealed class MachineCma
{
    private readonly Machine _machine;

    internal MachineCma(Machine machine) => _machine = machine;

    private readonly List<CmaArea> _areas = [];

    /// <summary>The contiguous memory areas, in the order of their reservation; the first is the default one.</summary>
    public IReadOnlyList<CmaArea> Areas => _areas;

    /// <summary>Whether the kernel has contiguous memory areas: as Debian builds it, or because the machine's description asks for some.</summary>
    internal bool IsConfigured => _machine.Architecture.HasCma || (_machine.Personality.Allocator.HasCma && _machine.Architecture.Bits == 64) || _areas.Count != 0;

    /// <summary>The contiguous memory area with a name.</summary>
    /// <param name="name">The name.</param>
    /// <exception cref="ArgumentException">There is none.</exception>
    public CmaArea Get(string name) =>
        _areas.Find(area => area.Name == name) ?? throw new ArgumentException($"the machine has no contiguous memory area {name}: {(_areas.Count == 0 ? "none at all" : string.Join(", ", _areas.Select(area => area.Name)))}", nameof(name));

    /// <summary>Allocates contiguous pages from an area by moving away what uses them (<c>cma_alloc()</c>).</summary>
    /// <param name="cpu">The CPU that asks; it may sleep.</param>
    /// <param name="area">The area.</param>
    /// <param name="pages">How many pages.</param>
    /// <param name="alignOrder">log2 of the alignment in pages.</param>
    /// <returns>The first page, each a single page with one reference; null when no range could be cleared.</returns>
    /// <exception cref="ArgumentException">The CPU belongs to another machine.</exception>
    /// <exception cref="KernelBugException">The CPU is in atomic context.</exception>
    public Page Alloc(Cpu cpu, CmaArea area, long pages, int alignOrder = 0)
    {
        using Callouts.OperationScope operation = _machine.Callouts.Enter();
        ArgumentNullException.ThrowIfNull(cpu);
        ArgumentNullException.ThrowIfNull(area);
        ArgumentOutOfRangeException.ThrowIfLessThan(pages, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(alignOrder);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(alignOrder, 30);
        if (!MaySleep(cpu, "cma_alloc"))
        {
            return default;
        }

        int pfn = Owned(area).Allocate(cpu, pages, alignOrder);
        return pfn < 0 ? default : new Page(_machine, pfn);
    }

    /// <summary>Gives pages back to their area (<c>cma_release()</c>).</summary>
    /// <param name="cpu">The CPU that frees.</param>
    /// <param name="area">The area.</param>
    /// <param name="first">The first page.</param>
    /// <param name="pages">How many.</param>
    /// <returns>False when the pages are not of the area.</returns>
    /// <exception cref="KernelBugException">They were not allocated from it, or somebody still uses one of them; nothing is freed.</exception>
    public bool Free(Cpu cpu, CmaArea area, Page first, long pages)
    {
        using Callouts.OperationScope operation = _machine.Callouts.Enter();
        ArgumentNullException.ThrowIfNull(cpu);
        ArgumentNullException.ThrowIfNull(area);
        _machine.ThrowIfDisposed();
        _ = _machine.CpuTable.Own(cpu);
        _ = _machine.ZoneTable.Owned(first);
        if (first.IsNull || pages < 1 || !Owned(area).Contains(first.FrameIndex, pages))
        {
            return false;
        }

        for (int pfn = first.FrameIndex; pfn < first.FrameIndex + pages; pfn++)
        {
            Page page = new(_machine, pfn);
            if (!area.IsUsed(pfn))
            {
                _machine.Bugs.Raise(KernelBugKind.NotAllocated, $"kernel BUG at cma_release: {page} was not allocated from {area}", _machine.Bugs.Describe(page), page);
                return false;
            }

            if (!_machine.Frames.MayFree(page, 0))
            {
                _machine.Bugs.BadFree(cpu, page, 0, "cma_release");
                return false;
            }
        }

        area.Release(cpu, first.FrameIndex, pages);
        return true;
    }

    /// <summary>Allocates a given range of frames by moving away what is there (<c>alloc_contig_range()</c>).</summary>
    /// <param name="cpu">The CPU that asks; it may sleep.</param>
    /// <param name="start">The first frame.</param>
    /// <param name="pages">How many.</param>
    /// <param name="type">What the page blocks are afterwards: movable, or CMA for a range inside an area.</param>
    /// <returns>Whether it succeeded: each frame is then a single page with one reference. Otherwise everything there is still in use or free.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The range is not memory of one zone.</exception>
    /// <exception cref="ArgumentException">The CPU belongs to another machine.</exception>
    /// <exception cref="KernelBugException">The CPU is in atomic context.</exception>
    public bool AllocContigRange(Cpu cpu, Pfn start, long pages, MigrateType type = MigrateType.Movable)
    {
        using Callouts.OperationScope operation = _machine.Callouts.Enter();
        ArgumentNullException.ThrowIfNull(cpu);
        ArgumentOutOfRangeException.ThrowIfLessThan(pages, 1);
        _machine.ThrowIfDisposed();
        _ = _machine.CpuTable.Own(cpu);
        if (type is not (MigrateType.Movable or MigrateType.Cma))
        {
            throw new ArgumentOutOfRangeException(nameof(type), type, "page blocks cleared for a contiguous range are movable or CMA");
        }

        if (!_machine.TryGetPage(start, out Page first) || !_machine.TryGetPage(start + (pages - 1), out Page last) || first.Zone != last.Zone)
        {
            throw new ArgumentOutOfRangeException(nameof(start), start, $"{pages} pages from there are not memory of one zone");
        }

        return MaySleep(cpu, "alloc_contig_range") && Contig.AllocRange(cpu, (int)start.Value, (int)(start.Value + pages), type) == ContigOutcome.Success;
    }

    /// <summary>Allocates contiguous pages wherever a range can be cleared: zone by zone, at multiples of their number (<c>alloc_contig_pages()</c>).</summary>
    /// <param name="cpu">The CPU that asks; it may sleep.</param>
    /// <param name="pages">How many.</param>
    /// <param name="gfp">Names the zones; other flags do not count.</param>
    /// <returns>The first page, or null.</returns>
    /// <exception cref="ArgumentException">The CPU belongs to another machine.</exception>
    /// <exception cref="KernelBugException">The CPU is in atomic context.</exception>
    public Page AllocContigPages(Cpu cpu, long pages, Gfp gfp = Gfp.Kernel)
    {
        using Callouts.OperationScope operation = _machine.Callouts.Enter();
        ArgumentNullException.ThrowIfNull(cpu);
        ArgumentOutOfRangeException.ThrowIfLessThan(pages, 1);
        if (!MaySleep(cpu, "alloc_contig_pages"))
        {
            return default;
        }

        foreach (Zone zone in cpu.Lists.Zonelists[(int)(gfp & Gfp.ZoneMask)].Zones)
        {
            long start = (zone.StartPfn.Value + pages - 1) / pages * pages;
            for (long pfn = start; pfn + pages <= zone.EndPfn.Value; pfn += pages)
            {
                if (MayBeContiguous(zone, pfn, pages) && Contig.AllocRange(cpu, (int)pfn, (int)(pfn + pages), MigrateType.Movable) == ContigOutcome.Success)
                {
                    return new Page(_machine, (int)pfn);
                }
            }
        }

        return default;
    }

    /// <summary>Frees pages of a contiguous allocation (<c>free_contig_range()</c>).</summary>
    /// <param name="cpu">The CPU that frees.</param>
    /// <param name="first">The first page.</param>
    /// <param name="pages">How many.</param>
    /// <exception cref="KernelBugException">One of them is not a single page with one reference; those before it are freed.</exception>
    public void FreeContigRange(Cpu cpu, Page first, long pages)
    {
        using Callouts.OperationScope operation = _machine.Callouts.Enter();
        ArgumentNullException.ThrowIfNull(cpu);
        _machine.ThrowIfDisposed();
        _ = _machine.CpuTable.Own(cpu);
        _ = _machine.ZoneTable.Owned(first);
        for (long i = 0; i < pages; i++)
        {
            cpu.FreePages(_machine.GetPage(first.Pfn + i), 0);
        }
    }

    /// <summary>The figures of all areas, as the files below <c>/sys/kernel/mm/cma</c> and <c>/sys/kernel/debug/cma</c>: <c>name/file value</c>, a line each.</summary>
    public string Text()
    {
        _machine.ThrowIfDisposed();
        return string.Concat(_areas.Select(area => string.Create(System.Globalization.CultureInfo.InvariantCulture,
            $"{area.Name}/alloc_pages_success {area.AllocPagesSuccess}\n{area.Name}/alloc_pages_fail {area.AllocPagesFail}\n{area.Name}/base_pfn {area.Start.Value}\n{area.Name}/count {area.Pages}\n{area.Name}/maxchunk {area.LargestChunk}\n{area.Name}/order_per_bit 0\n{area.Name}/used {area.UsedPages}\n")));
    }

    internal void Add(CmaArea area) => _areas.Add(area);

    private bool MaySleep(Cpu cpu, string what)
    {
        _machine.ThrowIfDisposed();
        _ = _machine.CpuTable.Own(cpu);
        cpu.Context.MightSleep(what);
        return !cpu.Context.InAtomic;
    }

    /// <summary>A first look that saves isolating ranges in vain: all memory of the zone, nothing reserved.</summary>
    private bool MayBeContiguous(Zone zone, long start, long pages)
    {
        for (long pfn = start; pfn < start + pages;)
        {
            int head = _machine.ZoneTable.BlockHeadOf((int)pfn, out int order);
            if (head < 0 || _machine.Frames.Array[head].ZoneId != zone.Id || _machine.Frames.Array[head].IsReserved)
            {
                return false;
            }

            pfn = head + (1L << order);
        }

        return true;
    }

    internal void Verify()
    {
        foreach (CmaArea area in _areas)
        {
            for (long pfn = area.Start.Value; pfn < area.End.Value; pfn++)
            {
                if (area.Zone.BlockType((int)pfn) != (int)MigrateType.Cma)
                {
                    BugReporter.Corrupt($"{area}: the page block of pfn 0x{pfn:x} is of type {(MigrateType)area.Zone.BlockType((int)pfn)}");
                }

                ref PageFrame frame = ref _machine.Frames.Array[(int)pfn];
                if (area.IsUsed(pfn) && (frame.RefCount == 0 || frame.Order != 0))
                {
                    BugReporter.Corrupt($"{area}: pfn 0x{pfn:x} is marked as handed out but has {frame.RefCount} references and order {frame.Order}");
                }
            }
        }

        foreach (Zone zone in _machine.Zones)
        {
            long isolated = zone.PageblockTypes.LongCount(type => type == (byte)MigrateType.Isolate);
            if (isolated != zone.IsolatedPageblocks)
            {
                BugReporter.Corrupt($"{zone}: {zone.IsolatedPageblocks} page blocks are counted as isolated but {isolated} are");
            }
        }
    }

    /// <summary>Allocates contiguous pages from the area of a name (<c>cma_alloc()</c>), on the caller's CPU.</summary>
    /// <param name="area">The area's name.</param>
    /// <param name="pages">How many pages.</param>
    /// <param name="alignOrder">log2 of the alignment in pages.</param>
    /// <returns>The first page, each a single page with one reference; null when no range could be cleared.</returns>
    /// <exception cref="ArgumentException">There is no such area.</exception>
    /// <exception cref="KernelBugException">The CPU is in atomic context.</exception>
    public Page Alloc(string area, long pages, int alignOrder = 0) => Alloc(_machine.CpuTable.CallersCpu(), Get(area), pages, alignOrder);

    /// <summary>Gives pages back to the area they are of (<c>cma_release()</c>), on the caller's CPU.</summary>
    /// <param name="first">The first page.</param>
    /// <param name="pages">How many.</param>
    /// <returns>False when the pages are not of one area.</returns>
    /// <exception cref="KernelBugException">They were not allocated from it, or somebody still uses one of them; nothing is freed.</exception>
    public bool Free(Page first, long pages)
    {
        _machine.ThrowIfDisposed();
        Page own = _machine.ZoneTable.Owned(first);
        CmaArea? area = own.IsNull || pages < 1 ? null : _areas.Find(a => a.Contains(own.FrameIndex, pages));
        return area is not null && Free(_machine.CpuTable.CallersCpu(), area, first, pages);
    }

    private CmaArea Owned(CmaArea area) => _areas.Contains(area) ? area : throw new ArgumentException($"{area} belongs to another machine", nameof(area));

    /// <summary>Who clears ranges.</summary>
    internal ContigAllocator Contig { get; set; } = null!;
}

/// <content>Contiguous memory areas, and ranges cleared on demand.</content>
public sealed partial class Machine
{
    /// <summary>Contiguous memory areas, and ranges cleared on demand.</summary>
    public MachineCma Cma { get; }
}
