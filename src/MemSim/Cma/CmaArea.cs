using System.Diagnostics;
using System.Numerics;
using MemSim.Cma;
using MemSim.Statistics;

namespace MemSim;

/// <summary>A contiguous memory area: frames that movable pages may use until somebody needs them in one piece (<c>struct cma</c>).</summary>
/// <remarks>Areas are reserved at boot: by <c>cma=</c>, by the kernel itself, or by <see cref="MachineSpec.WithCma"/>.</remarks>
public sealed class CmaArea
{
    private readonly Machine _machine;
    private readonly ulong[] _bitmap;
    // Guards _bitmap.
    private readonly Lock _lock = new();

    internal CmaArea(Machine machine, string name, Zone zone, long startPfn, long pages)
    {
        _machine = machine;
        Name = name;
        Zone = zone;
        Start = new Pfn(startPfn);
        Pages = pages;
        _bitmap = new ulong[(pages + 63) / 64];
    }

    /// <summary>The area's name.</summary>
    public string Name { get; }

    /// <summary>The zone it lies in.</summary>
    public Zone Zone { get; }

    /// <summary>Its first frame.</summary>
    public Pfn Start { get; }

    /// <summary>Its size in pages.</summary>
    public long Pages { get; }

    /// <summary>The frame after its last.</summary>
    public Pfn End => Start + Pages;

    /// <summary>Pages handed out by <see cref="MachineCma.Alloc(Cpu, CmaArea, long, int)"/> now.</summary>
    public long UsedPages
    {
        get
        {
            long used = 0;
            foreach (ulong word in _bitmap)
            {
                used += BitOperations.PopCount(word);
            }

            return used;
        }
    }

    /// <summary>The longest run of pages that are not handed out (debugfs <c>maxchunk</c>).</summary>
    public long LargestChunk
    {
        get
        {
            long longest = 0;
            long run = 0;
            for (long i = 0; i < Pages; i++)
            {
                run = IsSet(i) ? 0 : run + 1;
                longest = Math.Max(longest, run);
            }

            return longest;
        }
    }

    /// <summary>Pages allocated successfully since boot (sysfs <c>alloc_pages_success</c>).</summary>
    public long AllocPagesSuccess { get; private set; }

    /// <summary>Pages that could not be allocated (sysfs <c>alloc_pages_fail</c>).</summary>
    public long AllocPagesFail { get; private set; }

    /// <summary>Ranges given up because something in them could not be moved.</summary>
    public long BusyRetries { get; private set; }

    /// <summary>The area as <c>cma reserved: 16384 pages at 0x7c000</c>.</summary>
    public override string ToString() => $"cma {Name}: {Pages} pages at {Start}";

    internal bool Contains(long pfn, long pages) => pfn >= Start.Value && pages >= 0 && pfn + pages <= End.Value;

    internal bool IsUsed(long pfn) => IsSet(pfn - Start.Value);

    /// <summary>Allocates pages: the first range that is not handed out and that can be cleared.</summary>
    /// <returns>The first frame, or -1.</returns>
    internal int Allocate(Cpu cpu, long pages, int alignOrder)
    {
        _machine.Migration.Trace?.CmaAllocStart(cpu, Name, pages, alignOrder);
        long found = -1;
        for (long from = 0; ;)
        {
            long at = Reserve(from, pages, alignOrder);
            if (at < 0)
            {
                break;
            }

            int pfn = (int)(Start.Value + at);
            ContigOutcome outcome = _machine.Cma.Contig.AllocRange(cpu, pfn, pfn + (int)pages, MigrateType.Cma);
            if (outcome == ContigOutcome.Success)
            {
                found = pfn;
                break;
            }

            Mark(at, pages, used: false);
            if (outcome != ContigOutcome.Busy)
            {
                break;
            }

            BusyRetries++;
            _machine.Migration.Trace?.CmaAllocBusyRetry(cpu, Name, pfn, pages, alignOrder);
            from = at + (1L << alignOrder);
        }

        _machine.Migration.Trace?.CmaAllocFinish(cpu, Name, found, pages, alignOrder);
        _machine.Events.Count(found >= 0 ? VmEvent.CmaAllocSuccess : VmEvent.CmaAllocFail);
        if (found >= 0)
        {
            AllocPagesSuccess += pages;
        }
        else
        {
            AllocPagesFail += pages;
        }

        return (int)found;
    }

    internal void Release(Cpu cpu, int pfn, long pages)
    {
        _machine.Cma.Contig.FreeRange(cpu, pfn, pfn + (int)pages);
        Mark(pfn - Start.Value, pages, used: false);
        _machine.Migration.Trace?.CmaRelease(cpu, Name, pfn, pages);
    }

    /// <summary>Finds a free, aligned run in the bitmap and marks it.</summary>
    private long Reserve(long from, long pages, int alignOrder)
    {
        lock (_lock)
        {
            long align = 1L << alignOrder;
            long at = Aligned(from, align);
            while (at + pages <= Pages)
            {
                long taken = -1;
                for (long i = at + pages - 1; i >= at; i--)
                {
                    if (IsSet(i))
                    {
                        taken = i;
                        break;
                    }
                }

                if (taken < 0)
                {
                    Mark(at, pages, used: true);
                    return at;
                }

                at = Aligned(taken + 1, align);
            }

            return -1;
        }
    }

    private long Aligned(long index, long align) => ((Start.Value + index + align - 1) & -align) - Start.Value;

    private bool IsSet(long index) => (_bitmap[index >> 6] >> (int)index & 1) != 0;

    private void Mark(long at, long pages, bool used)
    {
        Debug.Assert(at >= 0 && pages > 0 && at + pages <= Pages, "pages of the area");
        lock (_lock)
        {
            for (long i = at; i < at + pages; i++)
            {
                Debug.Assert(IsSet(i) != used, "what is taken was free, and what is given back was taken");
                _bitmap[i >> 6] = used ? _bitmap[i >> 6] | (1UL << (int)i) : _bitmap[i >> 6] & ~(1UL << (int)i);
            }
        }
    }
}
