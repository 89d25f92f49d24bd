using System.Diagnostics;
using System.Globalization;
using MemSim.Diagnostics;
using MemSim.Hardware;
using MemSim.Kernels;

namespace MemSim.KernelMemory;

/// <summary>vmalloc: memory contiguous in the kernel's address space only, allocated and mapped page by page.</summary>
/// <remarks>
/// A freed range is unmapped at once, but the CPUs forget it only when many ranges were put aside or address space runs out: until then nobody gets these
/// addresses. Records and arrays are used again, so that in the long run nothing is allocated on the managed heap.
/// </remarks>
internal sealed partial class VmallocAllocator
{
    private const int LargestBulk = 100;

    /// <summary>Pools of address ranges there are at most (<c>nr_vmap_nodes</c>).</summary>
    private const int MostNodes = 128;

    /// <summary>log2 of the bytes of address space after which the next node's begin (<c>vmap_zone_size</c>).</summary>
    private const int NodeZoneShift = 16;

    private readonly Machine _machine;
    private readonly Mmu _mmu;
    private readonly VmapSpace _space;
    // Guards _areas, _space, _spareTables, _deferred and their counts (vmap_area_lock).
    private readonly MachineLock? _lock;
    private readonly List<VmArea> _areas = [];
    private readonly Stack<int> _spareAreas = new();
    private readonly Stack<Page[]>[] _spareTables = new Stack<Page[]>[32];
    private readonly Stack<ulong>[] _deferred;
    private readonly int _pointerBytes;
    private readonly int _nodes;
    private readonly bool _takesBlocks;
    private readonly bool _freesBlocks;
    private readonly long _maxLazyPages;
    private int _atBoot;

    public VmallocAllocator(Machine machine)
    {
        _machine = machine;
        _mmu = machine.Mmu;
        KernelRegion window = machine.AddressSpace.Vmalloc;
        _nodes = !machine.Personality.KernelMemory.KeepsFreedRangesByCpu ? 0 : machine.Architecture.Bits == 64 ? Math.Clamp(machine.Cpus.Count, 1, MostNodes) : 1;
        _takesBlocks = machine.Personality.KernelMemory.ThreadStacks != ThreadStackRule.SinglePages;
        _freesBlocks = machine.Personality.KernelMemory.ThreadStacks == ThreadStackRule.BlockFreedWhole;
        _space = new VmapSpace(window.Start.Value, window.End.Value, _nodes);
        _lock = machine.NewLock("VmallocAllocator._lock");
        _deferred = [.. machine.Cpus.Select(_ => new Stack<ulong>())];
        _pointerBytes = machine.Architecture.Bits / 8;
        _maxLazyPages = VmapSpace.MaxLazyPages(machine.Cpus.Count);
        for (int i = 0; i < _spareTables.Length; i++)
        {
            _spareTables[i] = new Stack<Page[]>();
        }
    }

    /// <summary>Why the last request failed, as the kernel's warning says it.</summary>
    public string? LastFailure { get; private set; }

    /// <summary>Whether anybody but the boot ever had an area.</summary>
    public bool WasUsed => _areas.Count > _atBoot;

    /// <summary>Pages of all areas that own theirs.</summary>
    public long UsedPages { get; private set; }

    /// <summary>Pages of address space put aside.</summary>
    public long LazyPages => _space.LazyPages;

    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="size">Bytes.</param>
    /// <param name="gfp">What the allocation of pages may do.</param>
    /// <param name="node">The node, negative for any.</param>
    /// <param name="caller">Who asks.</param>
    /// <param name="align">What the address shall be a multiple of.</param>
    public VirtualAddress Allocate(Cpu cpu, long size, Gfp gfp, int node, string caller, ulong align = PageGeometry.PageSize)
    {
        using Callouts.OperationScope operation = _machine.Callouts.Enter();
        if (!Begin(cpu, "vmalloc", size == 0))
        {
            return default;
        }

        long pages = (size >> PageGeometry.PageShift) + ((size & (PageGeometry.PageSize - 1)) != 0 ? 1 : 0);
        if (ExceedsTotal(pages))
        {
            return Fail(cpu, size, gfp, "exceeds total pages");
        }

        VmArea? area = Reserve(cpu, pages, caller, align);
        if (area is null)
        {
            return Fail(cpu, size, gfp, "no range of address space is long enough: use vmalloc=<size> to increase it");
        }

        string? why;
        try
        {
            why = Build(cpu, area, (int)pages, gfp, node);
        }
        catch
        {
            // Flags that do not go together, or a panic for want of memory.
            Undo(cpu, area);
            throw;
        }

        if (why is not null)
        {
            Undo(cpu, area);
            return Fail(cpu, size, gfp, why);
        }

        area.OwnsPages = true;
        using LockScope scope = Enter();
        CountPages(area, 1);
        return new VirtualAddress(area.Start);
    }

    /// <summary>Gets an area's array and pages and maps them.</summary>
    /// <returns>What failed; null when nothing did.</returns>
    private string? Build(Cpu cpu, VmArea area, int pages, Gfp gfp, int node) =>
        !AllocateTable(cpu, area, pages, gfp, node) ? "failed to allocate the array of pages"
        : !Populate(cpu, area, pages, gfp, node) ? "page order 0, failed to allocate pages"
        : !_mmu.Kernel.Map(cpu, new VirtualAddress(area.Start), area.Mapped, PageProtection.Kernel) ? "failed to map pages"
        : null;

    public VirtualAddress Map(Cpu cpu, ReadOnlySpan<Page> pages, PageProtection protection, string caller)
    {
        using Callouts.OperationScope operation = _machine.Callouts.Enter();
        if (!Begin(cpu, "vmap", pages.IsEmpty))
        {
            return default;
        }

        foreach (Page page in pages)
        {
            if (_machine.Bugs.AllocatedHead(cpu, page, "vmap").IsNull)
            {
                return default;
            }
        }

        return MapArea(cpu, pages, protection, caller, PageGeometry.PageSize);
    }

    /// <summary>Maps reserved frames for good, as a booting kernel does with the stacks of its interrupts.</summary>
    /// <param name="cpu">The CPU that boots.</param>
    /// <param name="pages">The frames.</param>
    /// <param name="caller">Who asks.</param>
    /// <param name="align">What the address shall be a multiple of.</param>
    /// <param name="owns">Whether the kernel gets them by vmalloc.</param>
    public VirtualAddress MapAtBoot(Cpu cpu, ReadOnlySpan<Page> pages, string caller, ulong align, bool owns)
    {
        VirtualAddress start = MapArea(cpu, pages, PageProtection.Kernel, caller, align);
        _atBoot++;
        if (owns && !start.IsNull && _space.TryFind(start.Value, out AddressRange range))
        {
            _areas[range.Value].OwnsPages = true;
            CountPages(_areas[range.Value], 1);
        }

        return start;
    }

    private VirtualAddress MapArea(Cpu cpu, ReadOnlySpan<Page> pages, PageProtection protection, string caller, ulong align)
    {
        long size = (long)pages.Length << PageGeometry.PageShift;
        if (ExceedsTotal(pages.Length) || Reserve(cpu, pages.Length, caller, align) is not { } area)
        {
            return Fail(cpu, size, Gfp.Kernel, "no range of address space is long enough");
        }

        area.Pages = TableFor(pages.Length);
        pages.CopyTo(area.Pages);
        area.Count = pages.Length;
        try
        {
            if (_mmu.Kernel.Map(cpu, new VirtualAddress(area.Start), pages, protection))
            {
                return new VirtualAddress(area.Start);
            }
        }
        catch
        {
            Abandon(area);
            throw;
        }

        Abandon(area);
        return Fail(cpu, size, Gfp.Kernel, "failed to map pages");
    }

    public void Free(Cpu cpu, VirtualAddress address, bool unmapOnly)
    {
        using Callouts.OperationScope operation = _machine.Callouts.Enter();
        string what = unmapOnly ? "vunmap" : "vfree";
        if (address.IsNull || !_machine.Bugs.CheckContext(cpu))
        {
            return;
        }

        if (cpu.Context.InInterrupt && !unmapOnly)
        {
            // Unmapping may sleep: a worker does it later, the address is written down only.
            using LockScope scope = Enter();
            _deferred[cpu.Id].Push(address.Value);
            return;
        }

        if (cpu.Context.InAtomic)
        {
            _machine.Bugs.SleepingInAtomic(cpu, what);
            return;
        }

        RunDeferred(cpu);
        if (Find(cpu, address, what) is { } area && MayFree(cpu, area, unmapOnly))
        {
            Release(cpu, area);
        }
    }

    /// <summary>Notes an address to be freed later, whatever the context (<c>vfree_atomic()</c>).</summary>
    public void FreeLater(Cpu cpu, VirtualAddress address)
    {
        using LockScope scope = Enter();
        _deferred[cpu.Id].Push(address.Value);
    }

    /// <summary>Frees what interrupts wanted freed.</summary>
    public void RunDeferred(Cpu cpu)
    {
        while (_deferred[cpu.Id].Count != 0)
        {
            ulong address = _deferred[cpu.Id].Pop();
            if (Find(cpu, new VirtualAddress(address), "vfree (deferred from an interrupt)") is { } area && MayFree(cpu, area, unmapOnly: false))
            {
                Release(cpu, area);
            }
        }
    }

    /// <summary>Makes all CPUs forget what was put aside and gives it back.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="emptyPools">Whether the CPUs' pools are emptied too, because address space ran out.</param>
    public void Purge(Cpu cpu, bool emptyPools = false)
    {
        using Callouts.OperationScope operation = _machine.Callouts.Enter();
        using LockScope scope = Enter();
        if (_space.TryGetAsideSpan(out ulong start, out ulong end))
        {
            _mmu.FlushRange(cpu, _mmu.Kernel, new VirtualAddress(start), end - start);
        }

        _space.Purge(emptyPools);
    }

    private bool Begin(Cpu cpu, string what, bool isEmpty)
    {
        _machine.ThrowIfDisposed();
        if (!_machine.Bugs.CheckContext(cpu))
        {
            return false;
        }

        if (cpu.Context.InAtomic)
        {
            _machine.Bugs.SleepingInAtomic(cpu, what);
            return false;
        }

        if (isEmpty)
        {
            _machine.Bugs.Raise(KernelBugKind.WrongOrder, $"WARNING: {what} of 0 bytes", $"CPU: {cpu.Id}\n");
            return false;
        }

        RunDeferred(cpu);
        return true;
    }

    private VmArea? Reserve(Cpu cpu, long pages, string caller, ulong align = PageGeometry.PageSize)
    {
        ulong bytes = VmallocRules.AreaBytes((ulong)pages << PageGeometry.PageShift);
        using LockScope scope = Enter();
        if (!_spareAreas.TryPop(out int id))
        {
            id = _areas.Count;
            _machine.Interleaver?.Pass("VmallocAllocator.Reserve");
            _areas.Add(new VmArea(id));
        }

        ulong start = _space.Allocate(bytes, id, align, cpu.Id);
        if (start == 0)
        {
            Purge(cpu, emptyPools: true);
            start = _space.Allocate(bytes, id, align, cpu.Id);
        }

        if (start == 0)
        {
            _spareAreas.Push(id);
            return null;
        }

        VmArea area = _areas[id];
        Debug.Assert(area.Count == 0 && area.Pages.Length == 0 && area.Table.IsNull && start % PageGeometry.PageSize == 0, "a record that nobody uses, and a range of whole pages");
        area.Start = start;
        area.Bytes = bytes;
        area.Caller = caller;
        return area;
    }

    private bool AllocateTable(Cpu cpu, VmArea area, int pages, Gfp gfp, int node)
    {
        long bytes = (long)pages * _pointerBytes;
        Gfp nested = (gfp & ~Gfp.ZoneMask) | Gfp.Zero;
        bool inArea = VmallocRules.TableAreaBytes(pages, _pointerBytes) != 0;
        area.Table = inArea ? Allocate(cpu, bytes, nested, node, area.Caller) : cpu.Kmalloc(bytes, nested);
        if (area.Table.IsNull)
        {
            return false;
        }

        area.HasTableArea = inArea;
        area.Pages = TableFor(pages);
        return true;
    }

    private void Undo(Cpu cpu, VmArea area)
    {
        FreeOwned(cpu, area);
        FreeTable(cpu, area);
        Abandon(area);
    }

    private void FreeTable(Cpu cpu, VmArea area)
    {
        VirtualAddress table = area.Table;
        area.Table = default;
        if (area.HasTableArea && Find(cpu, table, "vfree of a table of pages") is { } tableArea)
        {
            Release(cpu, tableArea);
        }
        else if (!table.IsNull)
        {
            cpu.Kfree(table);
        }
    }

    /// <summary>Gives an area back whose addresses nobody has seen.</summary>
    private void Abandon(VmArea area)
    {
        using LockScope scope = Enter();
        CheckRange(area);
        _space.GiveBack(area.Start);
        Recycle(area);
    }

    private void Release(Cpu cpu, VmArea area)
    {
        _mmu.Kernel.Unmap(cpu, new VirtualAddress(area.Start), area.Count);
        using (Enter())
        {
            CheckRange(area);
            _space.PutAside(area.Start);
            CountPages(area, area.OwnsPages ? -1 : 0);
        }

        // The worker gets the CPU while the pages are freed: before the area of their table is put aside too.
        if (_space.LazyPages > _maxLazyPages)
        {
            Purge(cpu);
        }

        if (area.OwnsPages)
        {
            FreeOwned(cpu, area);
            FreeTable(cpu, area);
        }

        using LockScope scope = Enter();
        Recycle(area);
    }

    private void CountPages(VmArea area, int sign)
    {
        long change = sign * (long)area.Count;
        UsedPages += change;
        _machine.SystemFigures.VmallocUsedPages += change;
        Debug.Assert(UsedPages >= 0, "no more pages go than came");
        if (_machine.Nodes.Count == 1)
        {
            _machine.Nodes[0].Counters.VmallocPages += change;
            return;
        }

        foreach (Page page in area.Mapped)
        {
            page.Zone.Node.Counters.VmallocPages += change / area.Mapped.Length;
        }
    }

    [Conditional("DEBUG")]
    private void CheckRange(VmArea area) => Debug.Assert(_space.TryFind(area.Start, out AddressRange range) && range.Value == area.Id && ReferenceEquals(_areas[area.Id], area), "the range is the area's");

    private void Recycle(VmArea area)
    {
        if (area.Pages.Length != 0)
        {
            area.Pages.AsSpan().Clear();
            _spareTables[System.Numerics.BitOperations.Log2((uint)area.Pages.Length)].Push(area.Pages);
        }

        area.Pages = [];
        area.Count = 0;
        area.OwnsPages = false;
        area.HasTableArea = false;
        area.Table = default;
        _spareAreas.Push(area.Id);
    }

    private Page[] TableFor(int pages)
    {
        int log = pages > 1 ? System.Numerics.BitOperations.Log2((uint)pages - 1) + 1 : 0;
        using LockScope scope = Enter();
        return _spareTables[log].TryPop(out Page[]? table) ? table : new Page[1 << log];
    }

    /// <summary>Whether the zones have fewer pages together: mostly one of the first has more alone.</summary>
    private bool ExceedsTotal(long pages)
    {
        IReadOnlyList<Zone> zones = _machine.Zones;
        for (int i = 0; pages > 0 && i < zones.Count; i++)
        {
            pages -= zones[i].ManagedPages;
        }

        return pages > 0;
    }

    private VirtualAddress Fail(Cpu cpu, long size, Gfp gfp, string why)
    {
        if ((gfp & Gfp.NoWarn) == 0)
        {
            LastFailure = string.Create(CultureInfo.InvariantCulture, $"{cpu.Current.Name}: vmalloc error: size {size}, {why}, mode:{GfpText.FormatWithHex(gfp, _machine.Personality)}");
        }

        return default;
    }

    private LockScope Enter() => new(_lock);
}
