using System.Runtime.InteropServices;
using MemSim.Slab;

namespace MemSim.Recordings.Replay;

/// <summary>What the slab replay does at an event.</summary>
internal enum SlabStep : byte
{
    Kmalloc,
    CacheAlloc,
    Free,
}

/// <summary>A recorded slab event, packed: a recording has hundreds of thousands.</summary>
/// <param name="Step">What happened.</param>
/// <param name="Cpu">Where.</param>
/// <param name="Node">The node asked for; -1 for any.</param>
/// <param name="Cache">Of objects of caches, the index of the cache in <see cref="SlabTraceRecording.Caches"/>.</param>
/// <param name="Peer">Of a free, the index of the allocation, -1 where none is recorded; of an allocation, that of the object at the same address whose free left no event, or -1.</param>
/// <param name="Requested">Bytes asked for.</param>
/// <param name="Delivered">Bytes of the object.</param>
/// <param name="Gfp">The flags.</param>
/// <param name="Line">The line in the file.</param>
[StructLayout(LayoutKind.Auto)]
internal readonly record struct SlabStepEvent(SlabStep Step, ushort Cpu, short Node, int Cache, int Peer, int Requested, int Delivered, Gfp Gfp, int Line);

/// <summary>A cache as a recording shows it.</summary>
internal sealed class SlabTraceCache(string name, int delivered)
{
    public string Name { get; } = name;

    /// <summary>Bytes of a slot.</summary>
    public int Delivered { get; } = delivered;

    /// <summary>Bytes of an object: grows where caches were merged meanwhile.</summary>
    public int Requested { get; set; }

    /// <summary>Where it was first seen.</summary>
    public int Line { get; set; }

    /// <summary>Objects freed whose allocation is not recorded.</summary>
    public long FreesOfUnknown { get; set; }
}

/// <summary>The slab events of a recording: which free belongs to which allocation, and of which cache an object is.</summary>
/// <remarks>6.1 names the cache only when an object is freed; objects that are never freed belong to the cache that others of the same caller, or of the same size, belong to.</remarks>
internal sealed class SlabTraceRecording
{
    private const int None = -1;

    private readonly List<SlabStepEvent> _events = [];
    private readonly Dictionary<ulong, int> _live = [];
    private readonly Dictionary<string, int> _sites = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Name, int Delivered), int> _cacheIndex = [];
    private readonly List<SlabTraceCache> _caches = [];
    private readonly Dictionary<string, long> _freesOfUnknown = new(StringComparer.Ordinal);

    /// <summary>The events in order.</summary>
    public ReadOnlySpan<SlabStepEvent> Events => CollectionsMarshal.AsSpan(_events);

    /// <summary>The caches that objects were allocated from.</summary>
    public IReadOnlyList<SlabTraceCache> Caches => _caches;

    /// <summary>Whether all addresses fit into 32 bits.</summary>
    public bool HasShortAddresses { get; private set; } = true;

    /// <summary>Allocations that found no memory.</summary>
    public long Failed { get; private set; }

    /// <summary>Objects freed whose allocation is not recorded.</summary>
    public long FreesOfUnknown { get; private set; }

    public void Add(in TraceEvent e, string path)
    {
        switch (e.Kind)
        {
            case TraceEventKind.Kmalloc:
                AddAllocation(e, SlabStep.Kmalloc, path);
                break;
            case TraceEventKind.KmemCacheAlloc:
                AddAllocation(e, SlabStep.CacheAlloc, path);
                break;
            case TraceEventKind.Kfree or TraceEventKind.KmemCacheFree when e.Ptr != 0:
                AddFree(e);
                break;
            default:
                break;
        }
    }

    /// <summary>Finds the caches of objects that were never freed.</summary>
    public void Link()
    {
        Dictionary<(int Site, int Requested, int Delivered), int> bySite = [];
        Dictionary<(int Requested, int Delivered), int> bySize = [];
        Span<SlabStepEvent> events = CollectionsMarshal.AsSpan(_events);
        foreach (ref readonly SlabStepEvent e in events)
        {
            // The free replaced the site by the cache; what is still a site has no free.
            if (e.Step == SlabStep.Free && e.Peer != None && events[e.Peer] is { Step: SlabStep.CacheAlloc, Cache: >= 0 } allocation)
            {
                bySite[(e.Cache, allocation.Requested, allocation.Delivered)] = allocation.Cache;
                ref int only = ref CollectionsMarshal.GetValueRefOrAddDefault(bySize, (allocation.Requested, allocation.Delivered), out bool exists);
                only = !exists || only == allocation.Cache ? allocation.Cache : None;
            }
        }

        foreach (ref SlabStepEvent e in events)
        {
            if (e.Step == SlabStep.CacheAlloc && e.Cache < 0)
            {
                int cache = bySite.GetValueOrDefault((e.Cache, e.Requested, e.Delivered), None);
                cache = cache == None ? bySize.GetValueOrDefault((e.Requested, e.Delivered), None) : cache;
                e = e with { Cache = cache == None ? CacheOf($"(unnamed, {e.Requested} bytes)", e) : cache };
            }
        }

        foreach (SlabTraceCache cache in _caches)
        {
            // Two caches of a name: the first one seen gets them.
            if (_freesOfUnknown.Remove(cache.Name, out long count))
            {
                cache.FreesOfUnknown = count;
            }
        }

        _live.Clear();
        _sites.Clear();
    }

    private void AddAllocation(in TraceEvent e, SlabStep step, string path)
    {
        if (e.Ptr == 0)
        {
            Failed++;
            return;
        }

        if (e.BytesRequested is < 0 or > int.MaxValue || e.BytesAllocated is < 0 or > int.MaxValue || (step == SlabStep.CacheAlloc && e.BytesRequested is 0 or > SlabRules.MaxSize))
        {
            throw new InputFileException(path, e.Line, $"an object of {e.BytesRequested} bytes in {e.BytesAllocated} is impossible");
        }

        HasShortAddresses &= e.Ptr <= uint.MaxValue;
        ref int live = ref CollectionsMarshal.GetValueRefOrAddDefault(_live, e.Ptr, out bool exists);
        int before = exists ? live : None;
        live = _events.Count;
        short node = e.Node is >= 0 and <= short.MaxValue ? (short)e.Node : (short)None;

        // Until the free tells the cache, its place holds the caller, as a negative number.
        int site = step == SlabStep.CacheAlloc ? ~SiteOf(e.CallSite) : 0;
        _events.Add(new SlabStepEvent(step, (ushort)e.Cpu, node, site, before, (int)e.BytesRequested, (int)e.BytesAllocated, e.Gfp, e.Line));
    }

    private void AddFree(in TraceEvent e)
    {
        HasShortAddresses &= e.Ptr <= uint.MaxValue;
        if (!_live.Remove(e.Ptr, out int peer))
        {
            FreesOfUnknown++;
            if (e.CacheName.Length != 0)
            {
                _freesOfUnknown[e.CacheName] = _freesOfUnknown.GetValueOrDefault(e.CacheName) + 1;
            }

            return;
        }

        ref SlabStepEvent allocation = ref CollectionsMarshal.AsSpan(_events)[peer];
        int site = allocation.Cache;
        if (allocation.Step == SlabStep.CacheAlloc && e.CacheName.Length != 0)
        {
            allocation = allocation with { Cache = CacheOf(e.CacheName, allocation) };
        }

        _events.Add(new SlabStepEvent(SlabStep.Free, (ushort)e.Cpu, None, site, peer, 0, 0, Gfp.None, e.Line));
    }

    private int SiteOf(string callSite)
    {
        ref int site = ref CollectionsMarshal.GetValueRefOrAddDefault(_sites, callSite, out bool exists);
        site = exists ? site : _sites.Count - 1;
        return site;
    }

    private int CacheOf(string name, in SlabStepEvent allocation)
    {
        ref int index = ref CollectionsMarshal.GetValueRefOrAddDefault(_cacheIndex, (name, allocation.Delivered), out bool exists);
        if (!exists)
        {
            index = _caches.Count;
            _caches.Add(new SlabTraceCache(name, allocation.Delivered) { Line = allocation.Line });
        }

        SlabTraceCache cache = _caches[index];
        cache.Requested = Math.Max(cache.Requested, allocation.Requested);
        return index;
    }
}
