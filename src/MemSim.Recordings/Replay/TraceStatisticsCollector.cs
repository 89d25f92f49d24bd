using System.Runtime.InteropServices;

namespace MemSim.Recordings.Replay;

/// <summary>Counts the events of a recording the way <c>perf kmem stat</c> does.</summary>
internal sealed class TraceStatisticsCollector
{
    private const int Types = 8;
    private const int Unknown = Types;

    private readonly long[,] _allocated = new long[PageGeometry.OrderCount, Types + 1];
    private readonly long[,] _freed = new long[PageGeometry.OrderCount, Types + 1];
    private readonly long[,] _failed = new long[PageGeometry.OrderCount, Types + 1];
    private readonly Dictionary<Gfp, (long Blocks, long Pages)> _gfp = [];
    private readonly Dictionary<long, int> _pagesInUse = [];
    private readonly Dictionary<ulong, (CallSite Site, int Cpu)> _objectsInUse = [];
    private readonly Dictionary<string, CallSite> _sites = new(StringComparer.Ordinal);
    private SlabTotals _kmalloc;
    private SlabTotals _caches;
    private long _frees;
    private long _freesOfUnknown;
    private long _freedElsewhere;

    public void Add(in TraceEvent e)
    {
        switch (e.Kind)
        {
            case TraceEventKind.PageAlloc:
                AddPage(e);
                break;
            case TraceEventKind.PageFree when e.Order is >= 0 and <= PageGeometry.MaxOrder:
                _freed[e.Order, _pagesInUse.Remove(e.Pfn, out int type) ? type : Unknown]++;
                break;
            case TraceEventKind.Kmalloc:
                AddObject(e, ref _kmalloc);
                break;
            case TraceEventKind.KmemCacheAlloc:
                AddObject(e, ref _caches);
                break;
            case TraceEventKind.Kfree or TraceEventKind.KmemCacheFree when e.Ptr != 0:
                FreeObject(e);
                break;
            default:
                break;
        }
    }

    public TracePageStatistics Pages()
    {
        List<TracePageRow> rows = [];
        for (int order = 0; order < PageGeometry.OrderCount; order++)
        {
            for (int type = 0; type <= Unknown; type++)
            {
                if ((_allocated[order, type] | _freed[order, type] | _failed[order, type]) != 0)
                {
                    rows.Add(new TracePageRow(order, type == Unknown ? null : (MigrateType)type, _allocated[order, type], _freed[order, type], _failed[order, type]));
                }
            }
        }

        return new TracePageStatistics(rows, [.. _gfp.Select(g => new TraceGfpRow(g.Key, g.Value.Blocks, g.Value.Pages)).OrderByDescending(g => g.Pages).ThenBy(g => g.Gfp)]);
    }

    public TraceSlabStatistics Slab() => new(
        _kmalloc.Objects,
        _kmalloc.Requested,
        _kmalloc.Allocated,
        _caches.Objects,
        _caches.Requested,
        _caches.Allocated,
        _frees,
        _freesOfUnknown,
        _freedElsewhere,
        [.. _sites.Select(s => new TraceSlabRow(s.Key, s.Value.Objects, s.Value.Requested, s.Value.Allocated, s.Value.FreedElsewhere))
            .OrderByDescending(r => r.BytesAllocated).ThenBy(r => r.CallSite, StringComparer.Ordinal)]);

    private void AddPage(in TraceEvent e)
    {
        if (e.Order is < 0 or > PageGeometry.MaxOrder)
        {
            return;
        }

        int type = e.MigrateType is >= 0 and < Types ? e.MigrateType : Unknown;
        if (e.Failed)
        {
            _failed[e.Order, type]++;
            return;
        }

        _allocated[e.Order, type]++;
        _pagesInUse[e.Pfn] = type;
        ref (long Blocks, long Pages) gfp = ref CollectionsMarshal.GetValueRefOrAddDefault(_gfp, e.Gfp, out _);
        gfp = (gfp.Blocks + 1, gfp.Pages + (1L << e.Order));
    }

    private void AddObject(in TraceEvent e, ref SlabTotals totals)
    {
        if (e.Ptr == 0)
        {
            return;
        }

        totals.Objects++;
        totals.Requested += e.BytesRequested;
        totals.Allocated += e.BytesAllocated;
        ref CallSite? site = ref CollectionsMarshal.GetValueRefOrAddDefault(_sites, e.CallSite, out _);
        site ??= new CallSite();
        site.Objects++;
        site.Requested += e.BytesRequested;
        site.Allocated += e.BytesAllocated;
        _objectsInUse[e.Ptr] = (site, e.Cpu);
    }

    private void FreeObject(in TraceEvent e)
    {
        _frees++;
        if (!_objectsInUse.Remove(e.Ptr, out (CallSite Site, int Cpu) from))
        {
            _freesOfUnknown++;
        }
        else if (from.Cpu != e.Cpu)
        {
            _freedElsewhere++;
            from.Site.FreedElsewhere++;
        }
    }

    private sealed class CallSite
    {
        public long Objects;
        public long Requested;
        public long Allocated;
        public long FreedElsewhere;
    }

    private struct SlabTotals
    {
        public long Objects;
        public long Requested;
        public long Allocated;
    }
}
