using System.Diagnostics;

namespace MemSim;

/// <summary>A cache that gives objects back when memory runs short (<c>struct shrinker</c>). Derive from it and register it with <see cref="MachineReclaim.RegisterShrinker"/>.</summary>
/// <example><code>
/// sealed class NameCache(KmemCache cache) : Shrinker("names")
/// {
///     protected override long CountObjects(in ShrinkRequest request) => _unused.Count;
///     protected override long ScanObjects(in ShrinkRequest request) { /* free up to request.ToScan objects */ return freed; }
/// }
/// </code></example>
public abstract class Shrinker
{
    /// <summary>What <see cref="ScanObjects"/> returns when nothing can be freed now (<c>SHRINK_STOP</c>).</summary>
    public const long Stop = -1;

    private long[] _deferred = [];

    /// <summary>Describes a shrinker.</summary>
    /// <param name="name">Its name, for tracepoints and reports.</param>
    /// <param name="seeks">What it costs to recreate an object, 2 being usual (<c>DEFAULT_SEEKS</c>): a larger number has fewer objects freed, 0 half of them at any priority.</param>
    /// <param name="batch">Objects scanned at a time (<c>SHRINK_BATCH</c>).</param>
    protected Shrinker(string name, int seeks = 2, int batch = 128)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentOutOfRangeException.ThrowIfNegative(seeks);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(batch);
        Name = name;
        Seeks = seeks;
        Batch = batch;
    }

    /// <summary>Its name.</summary>
    public string Name { get; }

    /// <summary>What it costs to recreate an object.</summary>
    public int Seeks { get; }

    /// <summary>Objects scanned at a time.</summary>
    public int Batch { get; }

    /// <summary>Objects freed since it was registered.</summary>
    public long FreedObjects { get; internal set; }

    /// <summary>Objects scanned since it was registered.</summary>
    public long ScannedObjects { get; internal set; }

    /// <summary>What it last threw; null when it never did.</summary>
    public Exception? LastFailure { get; internal set; }

    /// <summary>Counts the objects that could be freed on a node; 0 when there are none (<c>count_objects()</c>).</summary>
    /// <param name="request">Who asks.</param>
    protected abstract long CountObjects(in ShrinkRequest request);

    /// <summary>Looks at up to <see cref="ShrinkRequest.ToScan"/> objects and frees those that are not in use (<c>scan_objects()</c>). Must not take locks that its owner holds while allocating.</summary>
    /// <param name="request">Who asks, and for how much.</param>
    /// <returns>Objects freed, or <see cref="Stop"/>.</returns>
    protected abstract long ScanObjects(in ShrinkRequest request);

    internal long Count(in ShrinkRequest request) => CountObjects(request);

    internal long Scan(in ShrinkRequest request) => ScanObjects(request);

    /// <summary>Takes what earlier calls left to scan on a node.</summary>
    internal long TakeDeferred(int node) => node < _deferred.Length ? Interlocked.Exchange(ref _deferred[node], 0) : 0;

    /// <summary>Leaves objects to be scanned by the next call.</summary>
    /// <returns>What is left now.</returns>
    internal long AddDeferred(int node, long objects)
    {
        Debug.Assert(objects >= 0, "no less than nothing is left to be scanned");
        return objects > 0 ? Interlocked.Add(ref _deferred[node], objects) : Volatile.Read(ref _deferred[node]);
    }

    internal void Prepare(int nodes)
    {
        _deferred = new long[nodes];
        FreedObjects = ScannedObjects = 0;
    }
}

/// <summary>What a shrinker is asked (<c>struct shrink_control</c>).</summary>
/// <param name="Cpu">The CPU that reclaims: objects are freed on it.</param>
/// <param name="Gfp">What the caller may do: without <see cref="Gfp.Fs"/> a file system's shrinker must do nothing.</param>
/// <param name="Node">The node that is short of memory.</param>
/// <param name="ToScan">Objects to look at; 0 when they are only counted.</param>
public readonly record struct ShrinkRequest(Cpu Cpu, Gfp Gfp, Node Node, long ToScan);
