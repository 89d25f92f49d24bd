using MemSim.Slab;

namespace MemSim;

/// <content>kmalloc's size classes (<c>create_kmalloc_caches()</c>, <c>kmalloc_slab()</c>).</content>
public sealed partial class SlabAllocator
{
    /// <summary>Size classes of one kind: 96, 192 and the powers of two up to two pages.</summary>
    internal const int KmallocClasses = PageGeometry.PageShift + 1;

    /// <summary>Kinds of kmalloc memory: normal, charged to a cgroup, reclaimable, DMA.</summary>
    internal const int KmallocKinds = 4;

    /// <summary>Larger objects come straight from the page allocator.</summary>
    internal const int KmallocMaxCached = 2 * PageGeometry.PageSize;

    /// <summary>What <c>kmalloc(0)</c> returns: an address that may be freed and nothing else (<c>ZERO_SIZE_PTR</c>).</summary>
    public static VirtualAddress ZeroSizePointer => new(16);

    private static readonly int[] ClassSizes = [8, 16, 32, 64, 96, 128, 192, .. Enumerable.Range(8, PageGeometry.PageShift - 6).Select(shift => 1 << shift)];

    private readonly KmemCache?[] _kmalloc = new KmemCache?[KmallocKinds * KmallocClasses];

    /// <summary>The size class by (size + 7) / 8.</summary>
    internal byte[] KmallocIndex { get; } = new byte[(KmallocMaxCached / 8) + 1];

    /// <summary>kmalloc's caches of a kind by size class; null where the architecture's least alignment leaves a class out.</summary>
    internal ReadOnlySpan<KmemCache?> KmallocCaches(int kind) => _kmalloc.AsSpan(kind * KmallocClasses, KmallocClasses);

    /// <summary>The kind of memory a request's flags ask for; DMA wins over reclaimable, that over accounted.</summary>
    internal static int KmallocKind(Gfp gfp) =>
        (gfp & (Gfp.Dma | Gfp.Reclaimable | Gfp.Account)) == 0 ? 0 : (gfp & Gfp.Dma) != 0 ? 3 : (gfp & Gfp.Reclaimable) != 0 ? 2 : 1;

    /// <summary>The cache that serves a kmalloc of 1 to <see cref="KmallocMaxCached"/> bytes.</summary>
    internal KmemCache KmallocCache(long size, Gfp gfp) => _kmalloc[(KmallocKind(gfp) * KmallocClasses) + KmallocIndex[(size + 7) >> 3]]!;

    private void CreateBootCaches()
    {
        (int nodeBytes, int cacheBytes) = SlabRules.OwnObjects(Machine.Architecture.Architecture, Machine.Nodes.Count, Rules.Personality.Slab);
        // The kernel makes the first of them last of all: /proc/slabinfo ends with it.
        CreateOwnCache("kmem_cache", cacheBytes);
        CreateOwnCache("kmem_cache_node", nodeBytes);
        bool oddFirst = Rules.SlabLine.KmallocOddSizesFirst;
        foreach (int kind in oddFirst ? (ReadOnlySpan<int>)[0, 2, 3, 1] : [0, 1, 2, 3])
        {
            foreach (int i in oddFirst ? [4, 6, 0, 1, 2, 3, 5, .. Enumerable.Range(7, KmallocClasses - 7)] : Enumerable.Range(0, KmallocClasses))
            {
                if (ClassSizes[i] >= Math.Max(Rules.KmallocMinAlign, Backend.KmallocMinSize) && (ClassSizes[i] is not 192 || Rules.KmallocMinAlign <= 64) && (ClassSizes[i] is not 96 || Rules.KmallocMinAlign <= 32))
                {
                    CreateKmallocCache(kind, i);
                }
            }
        }

        FillKmallocIndex();
    }

    private void CreateKmallocCache(int kind, int sizeClass)
    {
        int size = ClassSizes[sizeClass];
        string prefix = kind switch { 1 => "kmalloc-cg-", 2 => "kmalloc-rcl-", 3 => "dma-kmalloc-", _ => "kmalloc-" };
        SlabFlags flags = SlabFlags.Kmalloc | kind switch { 1 => SlabFlags.Account, 2 => SlabFlags.ReclaimAccount, 3 => SlabFlags.CacheDma, _ => 0 };
        string text = size >= 1024 ? $"{size / 1024}k" : $"{size}";
        _kmalloc[(kind * KmallocClasses) + sizeClass] = Create(prefix + text, size, new KmemCacheArgs { Align = Rules.KmallocAlign(size), UserSize = size }, flags, refusesAliases: true);
    }

    private void CreateOwnCache(string name, int size) =>
        Create(name, size, new KmemCacheArgs { Align = Rules.CalculateAlignment(SlabFlags.HwCacheAlign, Math.Max(Rules.KmallocMinAlign, (size & (size - 1)) == 0 ? size : 0), size, Rules.BootCacheLineBytes) }, SlabFlags.HwCacheAlign, refusesAliases: true, isBootCache: true);

    private void FillKmallocIndex()
    {
        int sizeClass = 0;
        for (int i = 0; i < KmallocIndex.Length; i++)
        {
            while (ClassSizes[sizeClass] < i * 8 || _kmalloc[sizeClass] is null)
            {
                sizeClass++;
            }

            KmallocIndex[i] = (byte)sizeClass;
        }
    }
}
