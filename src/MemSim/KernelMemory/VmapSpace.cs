using System.Numerics;

namespace MemSim.KernelMemory;

/// <summary>Gives out ranges of the kernel's address space: what is free, in use, and freed but not yet given back. Knows no pages.</summary>
/// <remarks>
/// Kernel: <c>alloc_vmap_area()</c> and its trees. A freed range is put aside until the CPUs have forgotten it; one flush for many ranges is what makes
/// <c>vfree()</c> cheap.
/// </remarks>
internal sealed class VmapSpace
{
    private const int LazyPagesPerStep = (32 << 20) / PageGeometry.PageSize;

    private readonly AddressTree _free = new();
    private readonly AddressTree _busy = new();
    private readonly AsideRanges _aside;
    private readonly VmapPools? _pools;

    /// <param name="start">The first address.</param>
    /// <param name="end">The address after the last.</param>
    /// <param name="nodes">Pools of freed ranges, as 6.9 and later have them (one for each CPU, at most 128); 0 for the older kernels, which merge what is put aside.</param>
    public VmapSpace(ulong start, ulong end, int nodes = 0)
    {
        Start = start;
        End = end;
        _aside = new AsideRanges(merges: nodes == 0);
        _pools = nodes > 1 ? new VmapPools(nodes) : null;
        if (end > start)
        {
            _free.Insert(start, end);
        }
    }

    /// <summary>Continues from a recorded state; free ranges may lie outside the bounds.</summary>
    public VmapSpace(ulong start, ulong end, IEnumerable<AddressRange> free, IEnumerable<AddressRange> busy, IEnumerable<AddressRange> aside, int nodes = 0)
    {
        Start = start;
        End = end;
        _aside = new AsideRanges(merges: nodes == 0);
        _pools = nodes > 1 ? new VmapPools(nodes) : null;
        Fill(_free, free);
        Fill(_busy, busy);
        foreach (AddressRange range in aside)
        {
            _aside.Add(range.Start, range.End);
            LazyPages += Pages(range);
        }
    }

    public ulong Start { get; }

    public ulong End { get; }

    /// <summary>Pages that were freed but not given back yet.</summary>
    public long LazyPages { get; private set; }

    public List<AddressRange> Free => _free.ToList();

    public List<AddressRange> Busy => _busy.ToList();

    public List<AddressRange> Aside => _aside.ToList();

    /// <summary>Ranges that the CPUs keep for requests of the same length, in address order.</summary>
    public List<AddressRange> Pooled => _pools?.ToList() ?? [];

    public int BusyCount => _busy.Count;

    /// <summary>Pages that may be put aside before they are given back (<c>lazy_max_pages()</c>).</summary>
    public static long MaxLazyPages(int cpus) => (long)(BitOperations.Log2((uint)cpus) + 1) * LazyPagesPerStep;

    /// <summary>Takes the lowest range that fits, or one that this CPU's pool keeps.</summary>
    /// <returns>Its start; 0 when there is none, in which case giving back what was put aside may help.</returns>
    public ulong Allocate(ulong bytes, int value = 0, ulong align = PageGeometry.PageSize, int cpu = 0)
    {
        if (_pools is not null && _pools.TryTake(cpu, bytes, align, out ulong kept))
        {
            _busy.Insert(kept, kept + bytes, value);
            return kept;
        }

        if (!_free.TryFit(bytes, align, Start, End, out ulong start, out AddressRange hole))
        {
            return 0;
        }

        ulong end = start + bytes;
        if (hole.Start == start)
        {
            if (hole.End == end)
            {
                _free.Remove(start);
            }
            else
            {
                _free.Resize(start, end, hole.End);
            }
        }
        else
        {
            _free.Resize(hole.Start, hole.Start, start);
            if (hole.End != end)
            {
                _free.Insert(end, hole.End);
            }
        }

        _busy.Insert(start, end, value);
        _pools?.Assign(start, cpu);
        return start;
    }

    /// <summary>The range in use around an address.</summary>
    public bool TryFind(ulong address, out AddressRange range) => _busy.TryFloor(address, out range) && address < range.End;

    /// <summary>The range put aside around an address.</summary>
    public bool IsAside(ulong address) => _aside.Contains(address);

    /// <summary>Puts the range in use that begins at an address aside.</summary>
    public bool PutAside(ulong start)
    {
        if (!_busy.TryTake(start, out AddressRange range))
        {
            return false;
        }

        _aside.Add(start, range.End);
        LazyPages += Pages(range);
        return true;
    }

    /// <summary>Gives a range that was never mapped back at once: nothing needs to be flushed.</summary>
    public void GiveBack(ulong start)
    {
        _busy.TryFloor(start, out AddressRange range);
        _busy.Remove(start);
        _pools?.Forget(start);
        AsideRanges.Merge(_free, start, range.End);
    }

    /// <summary>The span of what was put aside, which is to be flushed before <see cref="Purge"/>.</summary>
    public bool TryGetAsideSpan(out ulong start, out ulong end)
    {
        start = _aside.Lowest;
        end = _aside.Highest;
        return end != 0;
    }

    /// <summary>Makes what was put aside free again, or leaves it to the pools.</summary>
    /// <param name="emptyPools">Whether the pools give everything back too, because address space ran out; else they give a quarter.</param>
    public void Purge(bool emptyPools = false)
    {
        if (_pools is not null)
        {
            foreach (AddressRange range in _pools.Decay(emptyPools))
            {
                AsideRanges.Merge(_free, range.Start, range.End);
            }
        }

        // Ranges that touch each other become free as one, which is the same as one after the other.
        AddressRange run = default;
        foreach (AddressRange range in _aside.Ascending())
        {
            if (_pools is not null)
            {
                if (!emptyPools && _pools.TryKeep(range))
                {
                    continue;
                }

                _pools.Forget(range.Start);
            }

            if (run.End != range.Start)
            {
                FreeRun(run);
                run = range;
            }

            run = run with { End = range.End };
        }

        FreeRun(run);
        _aside.Clear();
        LazyPages = 0;
    }

    private void FreeRun(AddressRange run)
    {
        if (run.End != 0)
        {
            AsideRanges.Merge(_free, run.Start, run.End);
        }
    }

    /// <summary>What contradicts itself; null when nothing does.</summary>
    public string? Check()
    {
        List<AddressRange> all = [.. Free, .. Busy, .. Aside, .. Pooled];
        all.Sort((a, b) => a.Start.CompareTo(b.Start));
        ulong at = Start;
        foreach (AddressRange range in all)
        {
            if (range.Start != at)
            {
                return $"0x{Math.Min(at, range.Start):x} is {(range.Start > at ? "neither free, in use nor put aside" : "in two ranges")}";
            }

            at = range.End;
        }

        long aside = Aside.Sum(Pages);
        return at != End ? $"the ranges end at 0x{at:x}" : aside != LazyPages ? $"{LazyPages} pages are counted as put aside but there are {aside}" : null;
    }

    private static long Pages(AddressRange range) => (long)((range.End - range.Start) >> PageGeometry.PageShift);

    private static void Fill(AddressTree tree, IEnumerable<AddressRange> ranges)
    {
        foreach (AddressRange range in ranges)
        {
            tree.Insert(range.Start, range.End, range.Value);
        }
    }
}
