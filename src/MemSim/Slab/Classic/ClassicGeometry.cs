namespace MemSim.Slab;

/// <summary>Where a classic slab keeps the list of its free objects.</summary>
internal enum FreelistPlace
{
    /// <summary>Behind the objects, in the slab itself.</summary>
    OnSlab,

    /// <summary>In a kmalloc object of its own: nothing of the slab is lost to it.</summary>
    OffSlab,

    /// <summary>In a free object of the slab.</summary>
    InObject,
}

/// <summary>The figures of a cache of the classic SLAB.</summary>
/// <param name="Size">Bytes from one object to the next.</param>
/// <param name="Order">log2 of the pages of a slab.</param>
/// <param name="Objects">Objects in a slab.</param>
/// <param name="Place">Where the list of free objects lies.</param>
/// <param name="Colours">How many different starts the left-over space allows; 0 or 1: none but the first.</param>
/// <param name="ColourOffset">Bytes from one colour to the next.</param>
/// <param name="Limit">Objects a CPU's array holds.</param>
/// <param name="BatchCount">Objects that move between an array and the slabs at a time.</param>
/// <param name="Shared">Batches that the shared array of a node holds; 0: there is none.</param>
internal readonly record struct ClassicFigures(int Size, int Order, int Objects, FreelistPlace Place, int Colours, int ColourOffset, int Limit, int BatchCount, int Shared)
{
    /// <summary>Bytes of the list of free objects: one byte names an object, two with pages larger than 4 KiB.</summary>
    public int FreelistBytes => Objects * ClassicGeometry.IndexBytes;
}

/// <summary>Lays out the slabs of the classic SLAB (<c>calculate_slab_order()</c>, <c>enable_cpucache()</c>).</summary>
internal static class ClassicGeometry
{
    /// <summary>The smallest kmalloc object of the classic SLAB.</summary>
    public const int KmallocMinSize = 32;

    /// <summary>Bytes of a number in the list of free objects: of pages of 4 KiB a byte is enough, because no object is smaller than <see cref="MinObjectBytes"/>.</summary>
    public const int IndexBytes = PageGeometry.Is4K ? 1 : 2;

    private const int MinObjectBytes = PageGeometry.Is4K ? 16 : 1;
    private const int MaxObjects = PageGeometry.Is4K ? 255 : SlabRules.MaxObjectsPerSlab;

    private static readonly int[] FreelistClasses = PageGeometry.Is4K ? [32, 64, 96, 128, 192, 256] : [128, 256, .. Enumerable.Range(9, 9).Select(shift => 1 << shift)];

    /// <summary>The size of an object's slot (<c>__kmem_cache_create()</c>).</summary>
    public static int SizeOf(int objectSize, int align, int wordBytes) =>
        SlabRules.AlignUp(Math.Max(SlabRules.AlignUp(objectSize, wordBytes), MinObjectBytes), align);

    /// <summary>The figures of a cache.</summary>
    /// <param name="rules">The machine's figures.</param>
    /// <param name="size">The size of a slot.</param>
    /// <param name="objectSize">The bytes of it that an object may use.</param>
    /// <param name="align">The alignment.</param>
    /// <param name="flags">The cache's flags.</param>
    /// <param name="hasConstructor">Whether free objects must keep what the constructor wrote.</param>
    /// <param name="maxOrder">The order beyond which less waste is not worth it.</param>
    public static ClassicFigures Compute(SlabRules rules, int size, int objectSize, int align, SlabFlags flags, bool hasConstructor, int maxOrder)
    {
        bool debugged = (flags & SlabFlags.DebugFlags) != 0;
        bool keepsContents = hasConstructor || debugged || (flags & SlabFlags.TypesafeByRcu) != 0;
        int colourOffset = Math.Max(rules.CacheLineBytes, align);
        FreelistPlace place = FreelistPlace.InObject;
        (int order, int objects, int left) = keepsContents ? default : Order(size, flags, FreelistPlace.InObject, maxOrder);
        if (objects == 0 || objects * IndexBytes > objectSize)
        {
            place = FreelistPlace.OffSlab;
            (order, objects, left) = (flags & SlabFlags.NoLeakTrace) != 0 || debugged ? default : Order(size, flags, FreelistPlace.OffSlab, maxOrder);
            if (objects == 0 || left >= objects * IndexBytes)
            {
                place = FreelistPlace.OnSlab;
                (order, objects, left) = Order(size, flags, FreelistPlace.OnSlab, maxOrder);
            }
        }

        (int limit, int batch, int shared) = Arrays(size, rules.Cpus);
        return new ClassicFigures(size, order, objects, place, debugged ? 0 : left / colourOffset, colourOffset, limit, batch, shared);
    }

    /// <summary>How many objects the arrays hold: the larger an object, the fewer (<c>enable_cpucache()</c>).</summary>
    public static (int Limit, int BatchCount, int Shared) Arrays(int size, int cpus)
    {
        int limit = size > 131072 ? 1 : size > PageGeometry.PageSize ? 8 : size > 1024 ? 24 : size > 256 ? 54 : 120;
        int shared = size <= PageGeometry.PageSize && cpus > 1 ? 8 : 0;
        return (limit, (limit + 1) / 2, shared);
    }

    /// <summary>The first order that wastes at most an eighth, or the last one worth trying.</summary>
    private static (int Order, int Objects, int Left) Order(int size, SlabFlags flags, FreelistPlace place, int maxOrder)
    {
        (int Order, int Objects, int Left) chosen = default;
        for (int order = 0; order <= PageGeometry.MaxOrder; order++)
        {
            int bytes = PageGeometry.PageSize << order;
            int slot = place == FreelistPlace.OnSlab ? size + IndexBytes : size;
            int objects = bytes / slot;
            if (objects == 0)
            {
                continue;
            }

            if (objects > MaxObjects)
            {
                break;
            }

            // The list must not cost more than half an object, or it would be better off in the slab.
            if (place == FreelistPlace.OffSlab && FreelistClass(objects * IndexBytes) > size / 2)
            {
                continue;
            }

            chosen = (order, objects, bytes % slot);
            if ((flags & SlabFlags.ReclaimAccount) != 0 || order >= maxOrder || chosen.Left * 8 <= bytes)
            {
                break;
            }
        }

        return chosen;
    }

    private static int FreelistClass(int bytes)
    {
        foreach (int size in FreelistClasses)
        {
            if (bytes <= size)
            {
                return size;
            }
        }

        return int.MaxValue;
    }
}
