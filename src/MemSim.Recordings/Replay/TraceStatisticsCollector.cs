using System.Runtime.InteropServices;

namespace MemSim.Recordings.Replay;

/// <summary>Counts the events of a recording the way <c>perf kmem stat</c> does.</summary>
internal sealed class TraceStatisticsCollector
{
    private const int Types = 8;
    private const int Unknown = Types;
    private static readonly (byte Order, byte Type) NotInUse = (byte.MaxValue, Unknown);

    private readonly long[,] _allocated = new long[PageGeometry.OrderCount, Types + 1];
    private readonly long[,] _freed = new long[PageGeometry.OrderCount, Types + 1];
    private readonly long[,] _failed = new long[PageGeometry.OrderCount, Types + 1];
    private readonly Dictionary<Gfp, (long Blocks, long Pages)> _gfp = [];
    private readonly FrameMap<(byte Order, byte Type)> _pagesInUse = new(NotInUse);
    /// <summary>Those of frames that no machine here can have.</summary>
    private readonly Dictionary<long, (byte Order, byte Type)> _farPagesInUse = [];
    private readonly Dictionary<ulong, (Group Group, int Cpu, long Bytes)> _objectsInUse = [];
    private readonly Dictionary<(string CallSite, string Cache, long Bytes, bool IsKmalloc), Group> _groups = [];
    private SlabTotals _kmalloc;
    private SlabTotals _caches;
    private long _frees;
    private long _freesOfUnknown;
    private long _freedElsewhere;
    private long _bytesFreed;

    public void Add(in TraceEvent e)
    {
        switch (e.Kind)
        {
            case TraceEventKind.PageAlloc:
                AddPage(e);
                break;
            case TraceEventKind.PageFree when e.Order is >= 0 and <= PageGeometry.MaxOrder:
                FreePage(e);
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
        _bytesFreed,
        Rows(g => g.Key.CallSite),
        Rows(g => CacheOf(g.Key, g.Value)));

    private static string CacheOf((string CallSite, string Cache, long Bytes, bool IsKmalloc) key, Group group)
    {
        string name = key.Cache.Length != 0 ? key.Cache : group.Cache;
        return name.Length != 0 ? name : $"{(key.IsKmalloc ? "kmalloc" : "cache")} of {key.Bytes} bytes";
    }

    private IReadOnlyList<TraceSlabRow> Rows(Func<KeyValuePair<(string CallSite, string Cache, long Bytes, bool IsKmalloc), Group>, string> nameOf) =>
        [.. _groups.GroupBy(nameOf, StringComparer.Ordinal)
            .Select(g => new TraceSlabRow(g.Key, g.Sum(s => s.Value.Objects), g.Sum(s => s.Value.Requested), g.Sum(s => s.Value.Allocated), g.Sum(s => s.Value.Freed), g.Sum(s => s.Value.FreedElsewhere)))
            .OrderByDescending(r => r.BytesAllocated).ThenBy(r => r.Name, StringComparer.Ordinal)];

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
        SetPageInUse(e.Pfn, ((byte)e.Order, (byte)type));
        ref (long Blocks, long Pages) gfp = ref CollectionsMarshal.GetValueRefOrAddDefault(_gfp, e.Gfp, out _);
        gfp = (gfp.Blocks + 1, gfp.Pages + (1L << e.Order));
    }

    private void FreePage(in TraceEvent e)
    {
        // A block may come back in pieces (thread stacks from 7.0 on): those are no blocks that were allocated.
        (byte order, byte type) = PageInUse(e.Pfn);
        _freed[e.Order, order == e.Order ? type : Unknown]++;
        SetPageInUse(e.Pfn, NotInUse);
    }

    private (byte Order, byte Type) PageInUse(long pfn) => pfn <= int.MaxValue ? _pagesInUse[(int)pfn] : _farPagesInUse.GetValueOrDefault(pfn, NotInUse);

    private void SetPageInUse(long pfn, (byte Order, byte Type) block)
    {
        if (pfn > int.MaxValue)
        {
            _farPagesInUse[pfn] = block;
        }
        else if (_pagesInUse[(int)pfn] != block)
        {
            _pagesInUse[(int)pfn] = block;
        }
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
        ref Group? group = ref CollectionsMarshal.GetValueRefOrAddDefault(_groups, (e.CallSite, e.CacheName, e.BytesAllocated, e.Kind == TraceEventKind.Kmalloc), out _);
        group ??= new Group();
        group.Objects++;
        group.Requested += e.BytesRequested;
        group.Allocated += e.BytesAllocated;
        _objectsInUse[e.Ptr] = (group, e.Cpu, e.BytesAllocated);
    }

    private void FreeObject(in TraceEvent e)
    {
        _frees++;
        if (!_objectsInUse.Remove(e.Ptr, out (Group Group, int Cpu, long Bytes) from))
        {
            _freesOfUnknown++;
            return;
        }

        _bytesFreed += from.Bytes;
        from.Group.Freed++;
        if (e.CacheName.Length != 0)
        {
            // Until 6.17 only the free tells the cache.
            from.Group.Cache = e.CacheName;
        }

        if (from.Cpu != e.Cpu)
        {
            _freedElsewhere++;
            from.Group.FreedElsewhere++;
        }
    }

    /// <summary>Objects of one size that one caller takes from one cache.</summary>
    private sealed class Group
    {
        public string Cache = "";
        public long Freed;
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
