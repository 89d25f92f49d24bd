using System.Diagnostics.CodeAnalysis;
using MemSim.Hardware;
using MemSim.Slab;

namespace MemSim;

/// <content>How caches come to be.</content>
public sealed partial class SlabAllocator
{
    /// <summary>Creates a cache of objects, or another name of a compatible one (<c>kmem_cache_create()</c> with <c>struct kmem_cache_args</c>).</summary>
    /// <param name="name">Its name, not empty and not taken.</param>
    /// <param name="size">Bytes of an object, 1 to 4 MiB.</param>
    /// <param name="args">What else is asked for.</param>
    /// <param name="flags">Its properties.</param>
    /// <returns>The cache.</returns>
    /// <exception cref="ArgumentException">An argument is wrong; with <see cref="SlabFlags.Panic"/> a <see cref="KernelBugException"/> says so.</exception>
    /// <exception cref="InvalidOperationException">There is no memory for the cache itself (see <see cref="TryCreateCache"/>); with <see cref="SlabFlags.Panic"/> a <see cref="KernelBugException"/> says so.</exception>
    /// <exception cref="KernelBugException">The context is atomic; nothing has changed.</exception>
    public KmemCache CreateCache(string name, int size, KmemCacheArgs args, SlabFlags flags = SlabFlags.None) =>
        TryCreateCache(name, size, args, flags, out KmemCache? cache) ? cache : throw new InvalidOperationException($"kmem_cache_create({name}) failed with error -12: no memory for struct kmem_cache; TryCreateCache tells without an exception");

    /// <summary>Creates a cache, unless there is no memory for it: the kernel's answer is NULL then.</summary>
    /// <remarks>
    /// A cache itself takes a <c>struct kmem_cache</c> and a <c>struct kmem_cache_node</c> for each node. MemSim keeps neither in simulated memory, but asks for them: fault injection
    /// may refuse them by the names of their caches, and where every zone that GFP_KERNEL may take from is at its min watermark, a page must be found first (reclaim and the OOM killer are asked).
    /// A sheaf for each CPU, where the cache has sheaves (6.18), is an object of a kmalloc cache.
    /// </remarks>
    /// <param name="name">Its name, not empty and not taken.</param>
    /// <param name="size">Bytes of an object, 1 to 4 MiB.</param>
    /// <param name="args">What else is asked for.</param>
    /// <param name="flags">Its properties.</param>
    /// <param name="cache">The cache; null without memory.</param>
    /// <returns>Whether there was memory.</returns>
    /// <exception cref="ArgumentException">An argument is wrong; with <see cref="SlabFlags.Panic"/> a <see cref="KernelBugException"/> says so.</exception>
    /// <exception cref="KernelBugException">The context is atomic, or there is no memory and the cache has <see cref="SlabFlags.Panic"/>; nothing has changed.</exception>
    public bool TryCreateCache(string name, int size, KmemCacheArgs args, SlabFlags flags, [NotNullWhen(true)] out KmemCache? cache)
    {
        cache = FindServing(name, size, args, flags);
        if (cache is not null)
        {
            return true;
        }

        // Asked without the lock: reclaim may come back here.
        if (HasMemoryForCache())
        {
            cache = Make(name, size, args, flags);
            if (Backend.Furnish(Machine.CpuTable.CallersCpu(), cache))
            {
                return true;
            }

            using (new LockScope(_lock))
            {
                Remove(cache);
            }

            Backend.Settle(Machine.CpuTable.CallersCpu());
            cache = null;
        }

        if ((flags & SlabFlags.Panic) != 0)
        {
            throw Panic(name, -12, "There is no memory for struct kmem_cache, and the cache was asked for with SLAB_PANIC.");
        }

        return false;
    }

    /// <summary>Creates a cache that a kernel makes during its boot, when memory is not short.</summary>
    internal KmemCache CreateBootCache(string name, int size, KmemCacheArgs args, SlabFlags flags) => FindServing(name, size, args, flags) ?? Make(name, size, args, flags);

    /// <summary>Refuses what no cache can be, and finds a cache that serves the request under another name; null without one.</summary>
    private KmemCache? FindServing(string name, int size, KmemCacheArgs args, SlabFlags flags)
    {
        Machine.ThrowIfDisposed();
        Machine.CpuTable.RefuseReentry();
        foreach (Cpu cpu in Machine.Cpus)
        {
            // The call takes a mutex. Which CPU makes it only a machine with parallel CPUs knows; elsewhere it is CPU 0, as for the other calls.
            if (cpu.Context.InAtomic && (Machine.IsParallel ? cpu.Context.Driver == Environment.CurrentManagedThreadId : cpu.Id == 0))
            {
                Machine.Bugs.SleepingInAtomic(cpu, "kmem_cache_create");
            }
        }

        using (new LockScope(_lock))
        {
            if (RefusalOf(name, size, args.Align, args.UserOffset, args.UserSize, args, flags) is { } refusal)
            {
                throw (flags & SlabFlags.Panic) != 0 ? Panic(name, -22, refusal.Message) : refusal;
            }

            KmemCache? mergeable = args.UserSize == 0 && args.SheafCapacity == 0 ? FindMergeable(name, size, args.Align, flags, args.Constructor) : null;
            if (mergeable is not null)
            {
                mergeable.AddAlias(name, size, Rules.WordBytes);
                _byName.Add(name, mergeable);
            }

            return mergeable;
        }
    }

    private KmemCache Make(string name, int size, KmemCacheArgs args, SlabFlags flags)
    {
        using (new LockScope(_lock))
        {
            return Create(name, size, args with { Align = Rules.CalculateAlignment(flags, args.Align, size) }, flags);
        }
    }

    private static KernelBugException Panic(string name, int error, string why) =>
        new(KernelBugKind.Panic, $"Kernel panic - not syncing: kmem_cache_create: Failed to create slab '{name}'. Error {error}", why);

    private bool HasMemoryForCache()
    {
        Cpu cpu = Machine.CpuTable.CallersCpu();
        (int nodeBytes, int cacheBytes) = SlabRules.OwnObjects(Machine.Architecture.Architecture, Machine.Nodes.Count, Rules.Personality.Slab);
        bool fails = Machine.Hooks.FaultInjector.FailsObjects(cpu, Gfp.Kernel, "kmem_cache", cacheBytes);
        for (int i = 0; i < Machine.Nodes.Count && !fails; i++)
        {
            fails = Machine.Hooks.FaultInjector.FailsObjects(cpu, Gfp.Kernel, "kmem_cache_node", nodeBytes);
        }

        return !fails && (!IsMemoryShort() || TakesAPage(cpu));
    }

    private bool IsMemoryShort()
    {
        foreach (Zone zone in Machine.Zones)
        {
            if (zone.Type <= ZoneType.Normal && zone.FreePages > zone.GetWatermark(Watermark.Min))
            {
                return false;
            }
        }

        return true;
    }

    private static bool TakesAPage(Cpu cpu)
    {
        Page page = cpu.AllocPage(Gfp.Kernel);
        if (page.IsNull)
        {
            return false;
        }

        cpu.FreePages(page, 0);
        return true;
    }
}
