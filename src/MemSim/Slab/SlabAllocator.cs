using System.Runtime.CompilerServices;
using MemSim.Hardware;
using MemSim.Slab;

namespace MemSim;

/// <summary>The slab layer of a machine: its object caches and kmalloc's size classes. <see cref="Machine.Slab"/>.</summary>
/// <remarks>Objects are allocated and freed on a <see cref="Cpu"/>. Creating, shrinking and destroying caches is for one thread at a time; shrinking and destroying on a machine with parallel CPUs need the other CPUs at rest.</remarks>
public sealed partial class SlabAllocator
{
    /// <summary>More objects no sheaf may hold, so that a slip of the pen does not take the host's memory.</summary>
    private const int MostSheafObjects = 4096;

    private KmemCache?[] _byId = new KmemCache?[128];
    private int _ids;
    private readonly int _bootIds;
    private readonly List<KmemCache> _caches = [];
    private readonly Dictionary<string, KmemCache> _byName = new(StringComparer.Ordinal);
    // Guards _caches, _byId, _byName, _ids: which caches there are (slab_mutex).
    private readonly MachineLock _lock;
    private readonly bool _merges;

    internal SlabAllocator(Machine machine, SlabParameters parameters)
    {
        Machine = machine;
        _lock = new MachineLock(machine, "SlabAllocator._lock");
        _tracepoints.Changed = UpdateTrace;
        Options = parameters;
        SlabRules rules = SlabRules.For(machine.Architecture.Architecture, machine.Personality, machine.Cpus.Count);
        Rules = rules with
        {
            MinObjects = parameters.MinObjects ?? rules.MinObjects,
            MinOrder = parameters.MinOrder ?? rules.MinOrder,
            MaxOrder = parameters.MaxOrder ?? rules.MaxOrder,
            ClassicMaxOrder = parameters.ClassicMaxOrder,
        };
        Memory = new SlabMemory(machine);
        Pages = new SlabPages(machine, Memory);
        DebugOptions = SlubDebugOptions.Parse(parameters.Debug);
        Debug = new SlabDebug(this);
        Nothing = Memory.TakeCpuSlabs(1);
        _merges = !parameters.NoMerge;
        Backend = parameters.Allocator == "slab" ? new ClassicSlab(this) : new Slub(this);
        Rcu = new RcuFrees(this);
        CreateBootCaches();
        _bootIds = _ids;
    }

    /// <summary>The machine.</summary>
    public Machine Machine { get; }

    /// <summary>The implementation: <c>slub</c> or <c>slab</c>.</summary>
    public string Implementation => Backend.Name;

    /// <summary>All caches, oldest first; merged ones appear once.</summary>
    public IReadOnlyList<KmemCache> Caches => _caches;

    /// <summary>Whether anybody created a cache or took an object, ever.</summary>
    internal bool IsUsed => _ids != _bootIds || Pages.WereTaken;

    /// <summary>What processes and files consist of.</summary>
    internal KernelObjects KernelObjects { get; set; } = null!;

    internal SlabRules Rules { get; }

    internal SlabMemory Memory { get; }

    internal SlabPages Pages { get; }

    internal SlabBackend Backend { get; }

    internal SlubDebugOptions DebugOptions { get; }

    internal SlabDebug Debug { get; }

    /// <summary>Objects that wait for a grace period.</summary>
    internal RcuFrees Rcu { get; }

    /// <summary>Pages of reclaimable slabs on a node (<c>nr_slab_reclaimable</c>).</summary>
    /// <param name="node">The node's number.</param>
    public long ReclaimablePages(int node) => Pages.Reclaimable(Machine.GetNode(node).Id);

    /// <summary>Pages of unreclaimable slabs, and of large kmalloc objects, on a node (<c>nr_slab_unreclaimable</c>).</summary>
    /// <param name="node">The node's number.</param>
    public long UnreclaimablePages(int node) => Pages.Unreclaimable(Machine.GetNode(node).Id);

    /// <summary>The cache with a name, aliases of merged caches included; null when there is none.</summary>
    /// <param name="name">The name.</param>
    public KmemCache? Find(string name)
    {
        using (new LockScope(_lock))
        {
            return _byName.GetValueOrDefault(name);
        }
    }

    /// <summary>Creates a cache of objects, or another name of a compatible one (<c>kmem_cache_create()</c>).</summary>
    /// <param name="name">Its name, not empty and not taken.</param>
    /// <param name="size">Bytes of an object, 1 to 4 MiB.</param>
    /// <param name="align">The alignment wanted, a power of two, or 0.</param>
    /// <param name="flags">Its properties.</param>
    /// <param name="constructor">Prepares each object when its slab is made; null for none.</param>
    /// <param name="userOffset">Where the part starts that may be copied to and from user space.</param>
    /// <param name="userSize">How many bytes may be copied; 0 for none.</param>
    /// <returns>The cache.</returns>
    /// <exception cref="ArgumentException">An argument is wrong; with <see cref="SlabFlags.Panic"/> a <see cref="KernelBugException"/> says so.</exception>
    /// <exception cref="InvalidOperationException">There is no memory for the cache itself (see <see cref="TryCreateCache"/>); with <see cref="SlabFlags.Panic"/> a <see cref="KernelBugException"/> says so.</exception>
    /// <exception cref="KernelBugException">The context is atomic; nothing has changed.</exception>
    public KmemCache CreateCache(string name, int size, int align = 0, SlabFlags flags = SlabFlags.None, ObjectConstructor? constructor = null, int userOffset = 0, int userSize = 0) =>
        CreateCache(name, size, new KmemCacheArgs { Align = align, Constructor = constructor, UserOffset = userOffset, UserSize = userSize }, flags);

    /// <summary>Creates a cache for values of a type.</summary>
    /// <typeparam name="T">The type: a struct without references.</typeparam>
    /// <param name="name">Its name, not empty and not taken.</param>
    /// <param name="flags">Its properties.</param>
    /// <returns>The typed view; <see cref="KmemCache{T}.Cache"/> is the cache itself.</returns>
    /// <exception cref="ArgumentException">As <see cref="CreateCache(string, int, int, SlabFlags, ObjectConstructor?, int, int)"/>.</exception>
    public KmemCache<T> CreateCache<T>(string name, SlabFlags flags = SlabFlags.None)
        where T : unmanaged => new(CreateCache(name, System.Runtime.CompilerServices.Unsafe.SizeOf<T>(), 0, flags));

    /// <summary>Destroys a cache, or one name of a merged one (<c>kmem_cache_destroy()</c>).</summary>
    /// <param name="cache">The cache; null is ignored.</param>
    /// <param name="on">The CPU on which the call is made; null for CPU 0. The call may sleep.</param>
    /// <returns>Whether the cache is gone, or shared no longer with this creator; false, after a logged report, when objects are live.</returns>
    /// <exception cref="KernelBugException">Objects are live, the context is atomic, or the cache is another machine's or gone already. Nothing has changed.</exception>
    public bool DestroyCache(KmemCache? cache, Cpu? on = null)
    {
        if (cache is null)
        {
            return true;
        }

        Cpu cpu = Machine.CpuTable.Own(on);
        Machine.ThrowIfDisposed();
        cpu.Context.MightSleep("kmem_cache_destroy");

        // As the kernel: what waits for a grace period is waited for.
        Rcu.End(cpu, all: true);
        bool gone = Destroy(cpu, cache);
        Backend.Settle(cpu);
        return gone;
    }

    /// <summary>Gives back what a cache keeps without need: CPUs' slabs and empty slabs (<c>kmem_cache_shrink()</c>).</summary>
    /// <remarks>On a machine with parallel CPUs it leaves what other CPUs keep: their threads may be in the middle of using it. Each CPU's own call gives that back.</remarks>
    /// <param name="cache">The cache.</param>
    /// <param name="on">The CPU on which the call is made; null for CPU 0. The call may sleep.</param>
    /// <returns>How many slabs are left.</returns>
    /// <exception cref="KernelBugException">The context is atomic, or the cache is another machine's or gone.</exception>
    public long ShrinkCache(KmemCache cache, Cpu? on = null)
    {
        ArgumentNullException.ThrowIfNull(cache);
        return Shrink(cache, Machine.CpuTable.Own(on), ofAllCpus: !Machine.IsParallel);
    }

    /// <summary>The same for what all CPUs keep, while no other thread drives one.</summary>
    internal long Shrink(KmemCache cache, Cpu cpu, bool ofAllCpus)
    {
        Machine.ThrowIfDisposed();
        cpu.Context.MightSleep("kmem_cache_shrink");
        long left;
        using (new LockScope(_lock))
        {
            left = IsUsable(cpu, cache, "kmem_cache_shrink") ? Backend.Shrink(cpu, cache, ofAllCpus) : 0;
        }

        Backend.Settle(cpu);
        return left;
    }

    /// <summary>Checks the red zones and poison of all objects of a cache (<c>echo 1 &gt; /sys/kernel/slab/CACHE/validate</c>); damage is restored.</summary>
    /// <param name="cache">The cache; without debugging flags there is nothing to check.</param>
    /// <param name="on">The CPU on which the call is made; null for CPU 0.</param>
    /// <returns>How many objects were damaged, with <see cref="BugPolicy.Log"/>.</returns>
    /// <exception cref="KernelBugException">An object is damaged; the report says where and what.</exception>
    public int Validate(KmemCache cache, Cpu? on = null)
    {
        ArgumentNullException.ThrowIfNull(cache);
        Cpu cpu = Machine.CpuTable.Own(on);
        Machine.ThrowIfDisposed();
        return IsUsable(cpu, cache, "validate_slab_cache") && cache.IsDebugged ? Debug.Validate(cpu, cache) : 0;
    }

    /// <summary>The objects still live, grouped by cache and, where the cache tracks its users, by call site: largest groups first.</summary>
    /// <remarks>
    /// Walks the machine's frames: for tests and reports. Boot leaves nothing live, so what is listed is what nobody freed. Left out are the layer's own objects (sheaves) and those that
    /// wait for a grace period (<see cref="CpuSlabCalls.KfreeRcu"/>).
    /// </remarks>
    public IReadOnlyList<LiveObjects> FindLiveObjects()
    {
        Machine.ThrowIfDisposed();
        HashSet<ulong> own = OwnObjects();
        List<LiveObjects> groups = [];
        foreach (KmemCache cache in _caches)
        {
            Dictionary<string, (long Count, long Wasted)> bySite = new(StringComparer.Ordinal);
            foreach (int head in Memory.SlabsOf(cache))
            {
                ref SlabPage slab = ref Memory[head];
                for (uint i = 0; i < slab.Objects; i++)
                {
                    if (slab.Links[i] == SlabPage.Allocated && !own.Contains(slab.AddressOf(i)))
                    {
                        SlabTrack? track = Debug.AllocationOf(slab.AddressOf(i));
                        string site = track?.CallSite ?? "";
                        (long count, long wasted) = bySite.GetValueOrDefault(site);
                        bySite[site] = (count + 1, wasted + (track?.RequestedBytes is int requested ? cache.ObjectSize - requested : 0));
                    }
                }
            }

            groups.AddRange(bySite.Select(group => new LiveObjects(cache, group.Key, group.Value.Count) { WastedBytes = group.Value.Wasted }));
        }

        groups.Sort((a, b) => b.Bytes.CompareTo(a.Bytes));
        return groups;
    }

    /// <summary>Adds every object that is handed out.</summary>
    internal void AddLive(List<(ulong Address, KmemCache Cache)> objects)
    {
        HashSet<ulong> own = OwnObjects();
        foreach (KmemCache cache in _caches)
        {
            foreach (int head in Memory.SlabsOf(cache))
            {
                ref SlabPage slab = ref Memory[head];
                for (uint i = 0; i < slab.Objects; i++)
                {
                    if (slab.Links[i] == SlabPage.Allocated && !own.Contains(slab.AddressOf(i)))
                    {
                        objects.Add((slab.AddressOf(i), cache));
                    }
                }
            }
        }
    }

    private bool Destroy(Cpu cpu, KmemCache cache)
    {
        using (new LockScope(_lock))
        {
            if (!IsUsable(cpu, cache, "kmem_cache_destroy"))
            {
                return false;
            }

            if (cache.RefusesAliases)
            {
                Machine.Bugs.Raise(KernelBugKind.StillInUse, $"kmem_cache_destroy {cache.Name}: the cache belongs to the kernel itself", "");
                return false;
            }

            if (cache.References > 1)
            {
                _byName.Remove(cache.RemoveAlias());
                return true;
            }

            if (Debug.HasLiveObjects(cache))
            {
                Machine.Bugs.Raise(KernelBugKind.StillInUse, $"kmem_cache_destroy {cache.Name}: Slab cache still has objects when called from {cpu.Current.Name}", Debug.DescribeLive(cache));
                return false;
            }

            _ = Backend.Shutdown(cpu, cache);
            Remove(cache);
            return true;
        }
    }

    private HashSet<ulong> OwnObjects()
    {
        HashSet<ulong> own = [];
        foreach (KmemCache cache in _caches)
        {
            Backend.AddOwnObjects(cache, own);
        }

        Rcu.AddTo(own);
        return own;
    }

    /// <summary>The cache with a number.</summary>
    internal KmemCache CacheOf(int id) => _byId[id]!;

    internal bool IsCache(int id) => (uint)id < (uint)_ids && _byId[id] is not null;

    /// <summary>Whether a cache is alive and this machine's; complains otherwise.</summary>
    internal bool IsUsable(Cpu cpu, KmemCache cache, string what)
    {
        ArgumentNullException.ThrowIfNull(cache);
        bool usable = ReferenceEquals(cache.Machine, Machine) && cache.References > 0;
        if (!usable)
        {
            RefuseCache(cpu, cache, what);
        }

        return usable;
    }

    /// <summary>Looking at another machine's cache by this one's tables would read at random.</summary>
    private void ThrowIfForeign(KmemCache cache)
    {
        if (!ReferenceEquals(cache.Machine, Machine))
        {
            throw new ArgumentException($"the cache {cache.Name} belongs to another machine", nameof(cache));
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void RefuseCache(Cpu cpu, KmemCache cache, string what)
    {
        if (!ReferenceEquals(cache.Machine, Machine))
        {
            Machine.Bugs.Raise(KernelBugKind.ForeignAddress, $"BUG: {what}: the cache {cache.Name} belongs to another machine", "");
        }
        else
        {
            Machine.Bugs.Raise(KernelBugKind.NotAllocated, $"BUG: {what}: the cache {cache.Name} was destroyed", $"CPU: {cpu.Id}\n");
        }
    }

    /// <summary>Makes a cache; <paramref name="args"/> has its final alignment.</summary>
    private KmemCache Create(string name, int size, KmemCacheArgs args, SlabFlags flags, bool refusesAliases = false, bool isBootCache = false)
    {
        CacheLayout layout = Backend.Layout(RequestOf(name, size, args, flags) with { IsBootCache = isBootCache });
        KmemCache cache = new(this, _ids, name, size, layout, args.Constructor, args.UserOffset, args.UserSize) { RefusesAliases = refusesAliases, AsksForSheaves = args.SheafCapacity != 0 };
        Backend.Open(cache);
        Register(cache);
        return cache;
    }

    private CacheRequest RequestOf(string name, int size, KmemCacheArgs args, SlabFlags flags) =>
        new(name, size, args.Align, DebugOptions.Apply(name, flags), args.Constructor is not null) { SheafCapacity = args.SheafCapacity, FreePointerOffset = args.FreePointerOffset };

    private void Remove(KmemCache cache)
    {
        cache.References = 0;
        _caches.Remove(cache);
        _byName.Remove(cache.Name);
        foreach (string alias in cache.Aliases)
        {
            _byName.Remove(alias);
        }

        _byId[cache.Id] = null;
        DiscardOrder(cache);
    }

    private ArgumentException? RefusalOf(string name, int size, int align, int userOffset, int userSize, KmemCacheArgs args, SlabFlags flags)
    {
        const SlabFlags permitted = SlabFlags.DebugFlags | SlabFlags.HwCacheAlign | SlabFlags.CacheDma | SlabFlags.CacheDma32 | SlabFlags.ReclaimAccount
            | SlabFlags.Panic | SlabFlags.TypesafeByRcu | SlabFlags.NoLeakTrace | SlabFlags.Account | SlabFlags.NoUserFlags;
        return string.IsNullOrWhiteSpace(name) ? new ArgumentException("kmem_cache_create: a cache needs a name", nameof(name))
            : _byName.ContainsKey(name) ? new ArgumentException($"kmem_cache_create({name}) integrity check failed: the name is taken", nameof(name))
            : size <= 0 ? new ArgumentOutOfRangeException(nameof(size), size, $"kmem_cache_create({name}) integrity check failed: objects need at least one byte")
            : size > SlabRules.MaxSize ? new ArgumentOutOfRangeException(nameof(size), size, $"kmem_cache_create({name}) integrity check failed: objects have at most {SlabRules.MaxSize} bytes")
            : align < 0 || (align & (align - 1)) != 0 ? new ArgumentException($"kmem_cache_create({name}): alignment {align} is no power of two", nameof(align))
            : align > SlabRules.MaxSize ? new ArgumentException($"kmem_cache_create({name}): alignment {align} is larger than the largest block", nameof(align))
            : (flags & ~permitted) != 0 ? new ArgumentException($"kmem_cache_create({name}): {flags & ~permitted} is not for callers to set", nameof(flags))
            : (flags & SlabFlags.CacheDma) != 0 && (flags & SlabFlags.CacheDma32) != 0 ? new ArgumentException($"kmem_cache_create({name}): pages cannot come from ZONE_DMA and from ZONE_DMA32", nameof(flags))
            : userSize < 0 || userOffset < 0 || (long)userOffset + userSize > size ? new ArgumentException($"kmem_cache_create({name}): the user copy region of {userSize} bytes at {userOffset} does not fit into {size} bytes", nameof(userSize))
            : userSize == 0 && userOffset != 0 ? new ArgumentException($"kmem_cache_create({name}): a user copy region without bytes has an offset", nameof(userOffset))
            : args.SheafCapacity is < 0 or > MostSheafObjects ? new ArgumentOutOfRangeException(nameof(args), args.SheafCapacity, $"kmem_cache_create({name}): a sheaf holds 0 (the kernel's choice) to {MostSheafObjects} objects")
            : args.FreePointerOffset is int inside && ((flags & SlabFlags.TypesafeByRcu) == 0 && args.Constructor is null || inside < 0 || inside % Rules.WordBytes != 0 || inside > size - Rules.WordBytes)
                ? new ArgumentException($"kmem_cache_create({name}): a free pointer at {inside} does not lie on a word inside {size} bytes of an object that is freed with RCU or constructed", nameof(args))
            : Rules.CalculateAlignment(flags, align, size) is int final && SlabRules.AlignUp(size, Math.Max(final, 1)) > SlabRules.MaxSize ? new ArgumentException($"kmem_cache_create({name}): aligned to {final}, an object of {size} bytes does not fit into the largest block", nameof(align))
            : Backend.Layout(RequestOf(name, size, args with { Align = final }, flags)) is var layout && (layout.Order > PageGeometry.MaxOrder || layout.Objects < 1) ? new ArgumentException($"kmem_cache_create({name}): with what lies beside it, an object takes {layout.Size} bytes and does not fit into the largest block", nameof(size))
            : null;
    }
}

/// <summary>Objects of a cache that are handed out, by who allocated them.</summary>
/// <param name="Cache">The cache.</param>
/// <param name="CallSite">The call site; empty where the cache does not track users (<see cref="SlabFlags.StoreUser"/>) or nobody said.</param>
/// <param name="Count">How many.</param>
public sealed record LiveObjects(KmemCache Cache, string CallSite, long Count)
{
    /// <summary>Bytes they take.</summary>
    public long Bytes => Count * Cache.Size;

    /// <summary>Bytes that kmalloc delivered beyond what was asked for; known where <c>slub_debug=U</c> tracks users, else 0.</summary>
    public long WastedBytes { get; init; }

    /// <summary>The group as <c>kmalloc-64: 3 objects, 192 bytes, from do_fork+0x1</c>.</summary>
    public override string ToString() => $"{Cache.Name}: {Count} objects, {Bytes} bytes{(CallSite.Length == 0 ? "" : ", from " + CallSite)}";
}
