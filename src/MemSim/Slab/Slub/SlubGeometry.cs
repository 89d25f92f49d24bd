using System.Numerics;
using MemSim.Kernels;

namespace MemSim.Slab;

/// <summary>Lays out SLUB's objects and slabs (<c>calculate_sizes()</c>, <c>calculate_order()</c>, <c>set_cpu_partial()</c>).</summary>
internal static class SlubGeometry
{
    /// <summary>The layout of a cache.</summary>
    /// <param name="rules">The machine's figures.</param>
    /// <param name="request">What to hold.</param>
    /// <param name="disableHigherOrderDebug">Whether debugging must not make slabs larger (<c>slub_debug=O</c>).</param>
    public static CacheLayout Compute(SlabRules rules, in CacheRequest request, bool disableHigherOrderDebug = false)
    {
        CacheLayout layout = Sizes(rules, request);
        if (disableHigherOrderDebug && SlabRules.OrderOf(layout.Size) > SlabRules.OrderOf(request.ObjectSize))
        {
            layout = Sizes(rules, request with { Flags = request.Flags & ~SlabFlags.DebugMetadata });
        }

        return layout;
    }

    private static CacheLayout Sizes(SlabRules rules, in CacheRequest request)
    {
        int word = rules.WordBytes;
        SlabFlags flags = request.Flags;
        int objectSize = request.ObjectSize;
        int size = SlabRules.AlignUp(objectSize, word);
        bool rcu = (flags & SlabFlags.TypesafeByRcu) != 0;
        bool redZone = (flags & SlabFlags.RedZone) != 0;
        flags &= ~SlabFlags.ObjectPoison;
        if ((flags & SlabFlags.Poison) != 0 && !rcu && !request.HasConstructor)
        {
            flags |= SlabFlags.ObjectPoison;
        }

        if (redZone && size == objectSize)
        {
            size += word;
        }

        int inUse = size;
        int offset;
        if (((rcu || request.HasConstructor) && request.FreePointerOffset is null) || (flags & SlabFlags.Poison) != 0 || (redZone && objectSize < word))
        {
            offset = size;
            size += word;
        }
        else if (request.FreePointerOffset is int inside && (rcu || request.HasConstructor))
        {
            offset = inside;
        }
        else
        {
            // In the middle, so that a small overflow does not hit it.
            offset = objectSize / 2 & -word;
        }

        if ((flags & SlabFlags.StoreUser) != 0)
        {
            size += 2 * rules.TrackBytes;
            if ((flags & SlabFlags.Kmalloc) != 0)
            {
                size += sizeof(int); // the size asked for
            }
        }

        int redLeft = 0;
        if (redZone)
        {
            redLeft = SlabRules.AlignUp(word, request.Align);
            size += word + redLeft;
        }

        size = SlabRules.AlignUp(size, request.Align);
        int order = Order(rules, size);
        int minOrder = SlabRules.OrderOf(size);
        int objects = SlabRules.ObjectsIn(order, size);
        if (rules.HasCmpxchgDouble && (flags & (SlabFlags.ConsistencyChecks | SlabFlags.StoreUser | SlabFlags.Trace)) == 0)
        {
            flags |= SlabFlags.CmpxchgDouble;
        }

        int cpuPartial = rules.HasCpuSlabs ? CpuPartial(flags, size) : 0;
        return new CacheLayout
        {
            Size = size,
            Align = request.Align,
            Flags = flags,
            InUse = inUse,
            FreePointerOffset = offset,
            RedLeftPad = redLeft,
            Order = order,
            Objects = objects,
            MinOrder = minOrder,
            MinObjects = SlabRules.ObjectsIn(minOrder, size),
            MinPartial = Math.Clamp(BitOperations.Log2((uint)size) / 2, 5, 10),
            CpuPartial = cpuPartial,
            CpuPartialSlabs = objects == 0 ? 0 : ((2 * cpuPartial) + objects - 1) / objects,
            SheafCapacity = SheafCapacity(rules, request, flags, size),
            AllocFlags = AllocFlags(flags, order != 0 || rules.SlabLine.SlabPagesAreCompound),
        };
    }

    /// <summary>The order of a cache's slabs: enough objects for the CPUs, little waste, order 3 at most where possible.</summary>
    public static int Order(SlabRules rules, int size)
    {
        int minObjects = rules.MinObjects != 0 ? rules.MinObjects : 4 * (33 - BitOperations.LeadingZeroCount((uint)Math.Max(rules.Cpus, 1)));
        minObjects = Math.Min(minObjects, SlabRules.ObjectsIn(rules.MaxOrder, size));
        if (rules.Personality.Slab.OrderIgnoresFewerObjects)
        {
            minObjects = Math.Max(minObjects, 1);
            for (int fraction = 16; fraction > 1; fraction /= 2)
            {
                int order = FirstGoodOrder(rules, size, minObjects, rules.MaxOrder, fraction);
                if (order <= rules.MaxOrder)
                {
                    return order;
                }
            }

            return SlabRules.OrderOf(size);
        }

        for (; minObjects > 1; minObjects--)
        {
            for (int fraction = 16; fraction >= 4; fraction /= 2)
            {
                int order = FirstGoodOrder(rules, size, minObjects, rules.MaxOrder, fraction);
                if (order <= rules.MaxOrder)
                {
                    return order;
                }
            }
        }

        int single = FirstGoodOrder(rules, size, 1, rules.MaxOrder, 1);
        return single <= rules.MaxOrder ? single : FirstGoodOrder(rules, size, 1, PageGeometry.MaxOrder, 1);
    }

    /// <summary>The first order whose slab wastes at most one part in <paramref name="fraction"/>; beyond the maximum when there is none.</summary>
    private static int FirstGoodOrder(SlabRules rules, int size, int minObjects, int maxOrder, int fraction)
    {
        if (SlabRules.ObjectsIn(rules.MinOrder, size) > SlabRules.MaxObjectsPerSlab)
        {
            return SlabRules.OrderOf((long)size * SlabRules.MaxObjectsPerSlab) - 1;
        }

        int order = Math.Max(rules.MinOrder, SlabRules.OrderOf((long)minObjects * size));
        for (; order <= maxOrder; order++)
        {
            int slab = PageGeometry.PageSize << order;
            if (slab % size <= slab / fraction)
            {
                break;
            }
        }

        return order;
    }

    private static int CpuPartial(SlabFlags flags, int size) =>
        (flags & SlabFlags.DebugFlags) != 0 ? 0
        : size >= PageGeometry.PageSize ? 6
        : size >= 1024 ? 24
        : size >= 256 ? 52
        : 120;

    /// <summary>Objects in a sheaf: as many as fill a kmalloc class together with its head, fewer of large ones; at least what was asked for (<c>calculate_sheaf_capacity()</c>).</summary>
    private static int SheafCapacity(SlabRules rules, in CacheRequest request, SlabFlags flags, int size)
    {
        if (request.IsBootCache || (flags & SlabFlags.DebugFlags) != 0)
        {
            return 0;
        }

        int usual = size >= PageGeometry.PageSize ? 4 : size >= 1024 ? 12 : size >= 256 ? 28 : 60;
        return rules.SlabLine.Sheaves switch
        {
            SheafRule.Everywhere => Math.Max(usual, request.SheafCapacity),
            SheafRule.WhereAsked => request.SheafCapacity,
            _ => 0,
        };
    }

    private static Gfp AllocFlags(SlabFlags flags, bool compound) =>
        (compound ? Gfp.Comp : 0)
        | ((flags & SlabFlags.CacheDma) != 0 ? Gfp.Dma : 0)
        | ((flags & SlabFlags.CacheDma32) != 0 ? Gfp.Dma32 : 0)
        | ((flags & SlabFlags.ReclaimAccount) != 0 ? Gfp.Reclaimable : 0);
}
