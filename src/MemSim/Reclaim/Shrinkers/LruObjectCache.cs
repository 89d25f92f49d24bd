using System.Diagnostics;
using MemSim.Collections;

namespace MemSim;

/// <summary>Slab objects found by key and kept after use as long as memory is plentiful, as the kernel keeps dentries and inodes (<c>list_lru</c> and its shrinker).</summary>
/// <typeparam name="TKey">What objects are found by.</typeparam>
/// <typeparam name="T">What they contain.</typeparam>
/// <remarks>
/// <para>Register it with <see cref="MachineReclaim.RegisterShrinker"/>. An object that somebody holds is never freed. One that nobody holds is on the list of its node, the longest unused
/// in front; the shrinker frees from there, and passes an object once that was used again since it came on the list. Use a cache with <see cref="SlabFlags.ReclaimAccount"/>,
/// so that its pages count as reclaimable.</para>
/// <para>May be used from several CPUs at once; its lock is not held while memory is allocated.</para>
/// </remarks>
/// <example><code>
/// LruObjectCache&lt;string, Inode&gt; inodes = new(machine.Slab.CreateCache&lt;Inode&gt;("inode", SlabFlags.ReclaimAccount), ReadInode);
/// machine.RegisterShrinker(inodes);
/// VirtualAddress inode = inodes.Get(cpu, "/etc/passwd");
/// inodes.Put("/etc/passwd");                              // stays until memory runs short
/// </code></example>
public sealed class LruObjectCache<TKey, T> : Shrinker
    where TKey : notnull
    where T : unmanaged
{
    private readonly KmemCache<T> _cache;
    private readonly Func<TKey, T> _create;
    // Guards _entries, _unused, _unusedCount, Hits and Misses; neither creates nor frees an object.
    private readonly Lock _lock = new();
    private readonly Dictionary<TKey, Entry> _entries = [];

    /// <summary>Each node's objects that nobody holds, the longest unused first.</summary>
    private readonly Chain<Entry, Entry.UnusedLinks>[] _unused;
    private int _unusedCount;

    /// <summary>Makes an empty cache.</summary>
    /// <param name="cache">Where its objects come from.</param>
    /// <param name="create">Gives a new object its contents, as reading it from disk does.</param>
    /// <param name="seeks">What it costs to make an object anew (<see cref="Shrinker.Seeks"/>).</param>
    public LruObjectCache(KmemCache<T> cache, Func<TKey, T> create, int seeks = 2)
        : base(NameOf(cache), seeks)
    {
        ArgumentNullException.ThrowIfNull(create);
        _cache = cache;
        _create = create;
        _unused = new Chain<Entry, Entry.UnusedLinks>[cache.Cache.Machine.Nodes.Max(n => n.Id) + 1];
        for (int i = 0; i < _unused.Length; i++)
        {
            _unused[i] = new Chain<Entry, Entry.UnusedLinks>();
        }
    }

    /// <summary>What a caller of reclaim must allow for objects to be freed; <see cref="Gfp.Fs"/>, as for the objects of a file system, unless said.</summary>
    public Gfp Needs { get; init; } = Gfp.Fs;

    /// <summary>Objects, in use or not.</summary>
    public int ObjectCount
    {
        get
        {
            lock (_lock)
            {
                return _entries.Count;
            }
        }
    }

    /// <summary>Objects that nobody holds.</summary>
    public int UnusedCount
    {
        get
        {
            lock (_lock)
            {
                return _unusedCount;
            }
        }
    }

    /// <summary>How often an object was asked for that was there.</summary>
    public long Hits { get; private set; }

    /// <summary>How often an object had to be made.</summary>
    public long Misses { get; private set; }

    /// <summary>Finds an object or makes it, and takes a reference; give it back with <see cref="Put"/>.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <param name="key">The object's key.</param>
    /// <param name="gfp">What making it may do.</param>
    /// <returns>Its address; the null address when there is no memory.</returns>
    public VirtualAddress Get(Cpu cpu, TKey key, Gfp gfp = Gfp.Kernel)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        ArgumentNullException.ThrowIfNull(key);
        _ = _cache.Cache.Machine.CpuTable.Own(cpu);
        lock (_lock)
        {
            if (_entries.TryGetValue(key, out Entry? found))
            {
                Hits++;
                return Take(found);
            }
        }

        // May reclaim, and so free other objects of this cache.
        T contents = _create(key);
        VirtualAddress obj = _cache.Alloc(cpu, gfp, contents);
        if (obj.IsNull)
        {
            return obj;
        }

        VirtualAddress there;
        lock (_lock)
        {
            Misses++;
            if (!_entries.TryGetValue(key, out Entry? other))
            {
                _entries.Add(key, new Entry(key, obj, cpu.Pages.VirtToPage(obj).Zone.Node.Id) { Holders = 1 });
                return obj;
            }

            there = Take(other);
        }

        // Another CPU made it meanwhile.
        _cache.Free(cpu, obj);
        return there;
    }

    /// <summary>Gives a reference back; an object that nobody holds any more stays until memory runs short.</summary>
    /// <param name="key">The object's key.</param>
    /// <exception cref="InvalidOperationException">Nobody holds it, or it is not there.</exception>
    public void Put(TKey key)
    {
        ArgumentNullException.ThrowIfNull(key);
        lock (_lock)
        {
            if (!_entries.TryGetValue(key, out Entry? entry) || entry.Holders == 0)
            {
                throw new InvalidOperationException($"{Name}: nobody holds '{key}'");
            }

            if (--entry.Holders == 0)
            {
                _unused[entry.Node].AddLast(entry);
                _unusedCount++;
                Debug.Assert(_unusedCount <= _entries.Count, "who waits to be freed is there");
            }
        }
    }

    /// <summary>Whether an object is there; takes no reference.</summary>
    /// <param name="key">The object's key.</param>
    public bool Contains(TKey key)
    {
        lock (_lock)
        {
            return _entries.ContainsKey(key);
        }
    }

    /// <summary>Frees all objects that nobody holds.</summary>
    /// <param name="cpu">The CPU.</param>
    /// <returns>How many.</returns>
    public long Drop(Cpu cpu)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _ = _cache.Cache.Machine.CpuTable.Own(cpu);
        long freed = 0;
        for (int node = 0; node < _unused.Length; node++)
        {
            freed += Free(cpu, node, long.MaxValue, secondChance: false);
        }

        return freed;
    }

    /// <inheritdoc/>
    protected override long CountObjects(in ShrinkRequest request)
    {
        lock (_lock)
        {
            return _unused[request.Node.Id].Count;
        }
    }

    /// <inheritdoc/>
    protected override long ScanObjects(in ShrinkRequest request) =>
        (request.Gfp & Needs) == Needs ? Free(request.Cpu, request.Node.Id, request.ToScan, secondChance: true) : Stop;

    private static string NameOf(KmemCache<T> cache)
    {
        ArgumentNullException.ThrowIfNull(cache);
        return cache.Cache.Name;
    }

    /// <summary>One more holder of an object; it leaves the list of those that have none.</summary>
    private VirtualAddress Take(Entry entry)
    {
        if (entry.Holders++ == 0)
        {
            _unused[entry.Node].Remove(entry);
            _unusedCount--;
            Debug.Assert(_unusedCount >= 0, "no more are used again than nobody held");
            entry.WasUsedAgain = true;
        }

        return entry.Object;
    }

    private long Free(Cpu cpu, int node, long scan, bool secondChance)
    {
        long freed = 0;
        for (; scan > 0; scan--)
        {
            VirtualAddress obj;
            lock (_lock)
            {
                if (_unused[node].First is not { } entry)
                {
                    break;
                }

                _unused[node].Remove(entry);
                if (secondChance && entry.WasUsedAgain)
                {
                    entry.WasUsedAgain = false;
                    _unused[node].AddLast(entry);
                    continue;
                }

                Debug.Assert(entry.Holders == 0 && _unusedCount > 0, "nobody holds what is freed");
                _unusedCount--;
                _entries.Remove(entry.Key);
                obj = entry.Object;
            }

            _cache.Free(cpu, obj);
            freed++;
        }

        return freed;
    }

    private sealed class Entry(TKey key, VirtualAddress obj, int node)
    {
        public TKey Key { get; } = key;

        public VirtualAddress Object { get; } = obj;

        public int Node { get; } = node;

        private Links<Entry, UnusedLinks> _unusedLinks;

        /// <summary>Its place in the list of those that nobody holds.</summary>
        internal readonly struct UnusedLinks : IChainLinks<Entry, UnusedLinks>
        {
            public static ref Links<Entry, UnusedLinks> Of(Entry member) => ref member._unusedLinks;
        }

        public int Holders { get; set; }

        /// <summary>Whether somebody took it from the list since reclaim last passed it.</summary>
        public bool WasUsedAgain { get; set; }
    }
}
