using System.Globalization;
using System.Text;
using MemSim.Hardware;
using MemSim.Kernels;
using MemSim.Slab;

namespace MemSim;

/// <content>What <c>/proc/slabinfo</c> and <c>/sys/kernel/slab</c> show.</content>
public sealed partial class SlabAllocator
{
    private static readonly string[] AttributeNames =
    [
        "aliases", "align", "cache_dma", "cpu_partial", "cpu_slabs", "ctor", "destroy_by_rcu", "hwcache_align", "min_partial", "object_size", "objects", "objects_partial",
        "objs_per_slab", "order", "partial", "poison", "reclaim_account", "red_zone", "sanity_checks", "slab_size", "slabs", "slabs_cpu_partial", "store_user", "total_objects",
        "trace", "usersize",
    ];

    /// <summary>The text of <c>/proc/slabinfo</c>, newest cache first.</summary>
    public string SlabInfo
    {
        get
        {
            Machine.ThrowIfDisposed();
            StringBuilder text = new("slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n");
            for (int i = _caches.Count - 1; i >= 0; i--)
            {
                KmemCache cache = _caches[i];
                CacheCounts counts = Backend.Count(cache);
                text.Append(CultureInfo.InvariantCulture, $"{cache.Name,-17} {counts.ActiveObjects,6} {counts.TotalObjects,6} {cache.Size,6} {cache.ObjectsPerSlab,4} {1 << cache.Order,4}");
                text.Append(CultureInfo.InvariantCulture, $" : tunables {counts.Limit,4} {counts.BatchCount,4} {counts.SharedFactor,4} : slabdata {counts.ActiveSlabs ?? counts.Slabs,6} {counts.Slabs,6} {counts.SharedAvailable,6}\n");
            }

            return text.ToString();
        }
    }

    /// <summary>Writes a line to <c>/proc/slabinfo</c>, <c>CACHE LIMIT BATCHCOUNT SHARED</c>: the sizes of a classic cache's arrays (<c>do_tune_cpucache()</c>).</summary>
    /// <param name="line">The cache's name; the objects a CPU's array holds; how many move at a time; how many such batches the nodes' shared arrays hold, 0 for none.</param>
    /// <remarks>What the arrays hold goes back to the slabs. No other thread may drive a CPU meanwhile. A kernel ignores figures that contradict each other in silence.</remarks>
    /// <exception cref="ArgumentException">No cache has the name, the line is malformed, or its figures contradict each other. Nothing has changed.</exception>
    /// <exception cref="InvalidOperationException">The machine has SLUB, which has no tunables.</exception>
    public void SetSlabInfo(string line)
    {
        ArgumentNullException.ThrowIfNull(line);
        Machine.ThrowIfDisposed();
        if (Backend is not ClassicSlab classic)
        {
            throw new InvalidOperationException("SLUB has no tunables: /proc/slabinfo cannot be written");
        }

        string[] words = line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        if (words.Length != 4 || !TryTunable(words[1], out int limit) || !TryTunable(words[2], out int batch) || !TryTunable(words[3], out int shared))
        {
            throw new ArgumentException($"'{line}' is not like CACHE LIMIT BATCHCOUNT SHARED, with figures up to {MostTunable}", nameof(line));
        }

        if (limit < 1 || batch < 1 || batch > limit || (long)shared * batch > MostTunable)
        {
            throw new ArgumentException($"'{line}': arrays hold at least one object and at least a batch, and shared arrays at most {MostTunable} objects", nameof(line));
        }

        using (new LockScope(_lock))
        {
            KmemCache cache = _caches.Find(c => c.Name == words[0]) ?? throw new ArgumentException($"'{line}': there is no cache '{words[0]}'", nameof(line));
            classic.Tune(Machine.Cpus[0], cache, limit, batch, shared);
        }
    }

    /// <summary>The names of the attributes that <see cref="SysfsAttribute"/> knows for every kernel; those with sheaves have <c>sheaf_capacity</c> too.</summary>
    public static IReadOnlyList<string> SysfsAttributes => AttributeNames;

    /// <summary>The text of a file below <c>/sys/kernel/slab/CACHE/</c>, without the newline.</summary>
    /// <param name="cache">The cache.</param>
    /// <param name="attribute">The file's name, one of <see cref="SysfsAttributes"/>.</param>
    /// <exception cref="ArgumentException">There is no such file.</exception>
    /// <exception cref="InvalidOperationException">The machine has the classic SLAB, which has no <c>/sys/kernel/slab</c>: <see cref="SlabInfo"/> tells of its caches.</exception>
    public string SysfsAttribute(KmemCache cache, string attribute)
    {
        ArgumentNullException.ThrowIfNull(cache);
        Machine.ThrowIfDisposed();
        ThrowIfForeign(cache);
        if (Backend is ClassicSlab)
        {
            throw new InvalidOperationException("a kernel with the classic SLAB has no /sys/kernel/slab; /proc/slabinfo tells of its caches");
        }

        SlabFlags flags = cache.Flags;
        return attribute switch
        {
            "aliases" => Text(Math.Max(cache.References - 1, 0)),
            "align" => Text(cache.Align),
            "cache_dma" => Flag(flags, SlabFlags.CacheDma),
            "cpu_partial" => Text(cache.CpuPartial),
            "ctor" => cache.Constructor?.Method.Name ?? "",
            "destroy_by_rcu" => Flag(flags, SlabFlags.TypesafeByRcu),
            "hwcache_align" => Flag(flags, SlabFlags.HwCacheAlign),
            "min_partial" => Text(cache.MinPartial),
            "object_size" => Text(cache.ObjectSize),
            "objs_per_slab" => Text(cache.ObjectsPerSlab),
            "order" => Text(cache.Order),
            "poison" => Flag(flags, SlabFlags.Poison),
            "reclaim_account" => Flag(flags, SlabFlags.ReclaimAccount),
            "red_zone" => Flag(flags, SlabFlags.RedZone),
            "sanity_checks" => Flag(flags, SlabFlags.ConsistencyChecks),
            "sheaf_capacity" when Rules.SlabLine.Sheaves != SheafRule.None => Text(cache.SheafCapacity),
            "slab_size" => Text(cache.Size),
            "store_user" => Flag(flags, SlabFlags.StoreUser),
            "trace" => Flag(flags, SlabFlags.Trace),
            "usersize" => Text(cache.UserSize),
            "slabs_cpu_partial" => CpuPartialText(cache),
            _ => CountText(cache, attribute),
        };
    }

    /// <summary>How well a cache uses its memory.</summary>
    /// <param name="cache">The cache.</param>
    /// <remarks>Walks the machine's frames: for reports and tests.</remarks>
    public CacheUsage UsageOf(KmemCache cache)
    {
        ArgumentNullException.ThrowIfNull(cache);
        Machine.ThrowIfDisposed();
        ThrowIfForeign(cache);
        long live = 0;
        long total = 0;
        long bytes = 0;
        int slabs = 0;
        foreach (int head in Memory.SlabsOf(cache))
        {
            slabs++;
            live += Memory.LiveIn(head);
            total += Memory[head].Objects;
            bytes += (long)PageGeometry.PageSize << Memory[head].Order;
        }

        return new CacheUsage(slabs, live, total, bytes, live * (cache.Size - cache.ObjectSize), bytes - (total * cache.Size), live * cache.ObjectSize);
    }

    /// <summary>More objects no array may hold, so that a slip of the pen does not take the host's memory.</summary>
    private const int MostTunable = 1 << 16;

    private static bool TryTunable(string word, out int value) => int.TryParse(word, NumberStyles.None, CultureInfo.InvariantCulture, out value) && value <= MostTunable;

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);

    private static string Flag(SlabFlags flags, SlabFlags flag) => (flags & flag) != 0 ? "1" : "0";

    private string CountText(KmemCache cache, string attribute)
    {
        Span<long> byNode = stackalloc long[Machine.Nodes[^1].Id + 1];
        foreach (SlubNode node in cache.Nodes)
        {
            (long free, long used) = (0, 0);
            for (int head = node.Partial.First; head != 0; head = Memory[head].Next)
            {
                free += Memory[head].Objects - Memory[head].InUse;
                used += Memory[head].InUse;
            }

            byNode[node.Id] = attribute switch
            {
                "objects" => node.Objects - free,
                "objects_partial" => used,
                "partial" => node.Partial.Count,
                "slabs" => node.Slabs,
                "total_objects" => node.Objects,
                "cpu_slabs" => 0,
                _ => throw new ArgumentException($"/sys/kernel/slab/{cache.SysfsName} has no file '{attribute}'", nameof(attribute)),
            };
        }

        for (int cpu = 0; cpu < Machine.Cpus.Count && attribute == "cpu_slabs"; cpu++)
        {
            ref CpuSlab c = ref cache.SlabOf(cpu);
            if (c.Slab != 0)
            {
                byNode[Memory[c.Slab].Node]++;
            }

            if (c.Partial != 0)
            {
                byNode[Memory[c.Partial].Node] += Memory[c.Partial].Count;
            }
        }

        long sum = 0;
        foreach (long value in byNode)
        {
            sum += value;
        }

        StringBuilder text = new(Text(sum));
        for (int node = 0; node < byNode.Length && Machine.Architecture.Bits == 64; node++)
        {
            if (byNode[node] != 0)
            {
                text.Append(CultureInfo.InvariantCulture, $" N{node}={byNode[node]}");
            }
        }

        return text.ToString();
    }

    /// <summary>Slabs in the CPUs' partial lists; the kernel takes half of their objects for free.</summary>
    private string CpuPartialText(KmemCache cache)
    {
        long slabs = 0;
        StringBuilder perCpu = new();
        for (int cpu = 0; cpu < Machine.Cpus.Count; cpu++)
        {
            int first = cache.SlabOf(cpu).Partial;
            if (first != 0)
            {
                int count = Memory[first].Count;
                slabs += count;
                perCpu.Append(CultureInfo.InvariantCulture, $" C{cpu}={count * cache.ObjectsPerSlab / 2}({count})");
            }
        }

        return string.Create(CultureInfo.InvariantCulture, $"{slabs * cache.ObjectsPerSlab / 2}({slabs}){perCpu}");
    }
}

/// <summary>How well a cache uses its memory.</summary>
/// <param name="Slabs">Its slabs.</param>
/// <param name="LiveObjects">Objects handed out.</param>
/// <param name="TotalObjects">Objects that its slabs have room for.</param>
/// <param name="SlabBytes">Bytes of its slabs.</param>
/// <param name="PaddingBytes">Bytes between live objects: alignment and debugging data (internal fragmentation).</param>
/// <param name="TailBytes">Bytes at the slabs' ends that no object fits into (waste).</param>
/// <param name="LiveBytes">Bytes that live objects were asked for.</param>
public readonly record struct CacheUsage(int Slabs, long LiveObjects, long TotalObjects, long SlabBytes, long PaddingBytes, long TailBytes, long LiveBytes)
{
    /// <summary>The part of the slabs' bytes that live objects use, 0 to 1; 1 for a cache without slabs.</summary>
    public double Utilisation => SlabBytes == 0 ? 1 : (double)LiveBytes / SlabBytes;
}
