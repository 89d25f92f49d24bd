using System.Globalization;
using MemSim.HugePages;

namespace MemSim;

/// <summary>Who gets large pages of a size (<c>hugepages-*kB/enabled</c>).</summary>
public enum HugePageSizePolicy
{
    /// <summary>Nobody.</summary>
    Never,

    /// <summary>Processes that ask for it with <c>MADV_HUGEPAGE</c>.</summary>
    Madvise,

    /// <summary>Whoever <c>transparent_hugepage/enabled</c> says.</summary>
    Inherit,

    /// <summary>Everybody.</summary>
    Always,
}

/// <summary>A size of large pages of anonymous memory (<c>/sys/kernel/mm/transparent_hugepage/hugepages-*kB</c>, Linux 6.8).</summary>
public sealed class HugePageSize
{
    /// <summary>Sizes that are read in kernels' files: what is counted by size, in the order of the files.</summary>
    private static readonly string[] Names =
    [
        "anon_fault_alloc", "anon_fault_fallback", "anon_fault_fallback_charge", "collapse_alloc", "collapse_alloc_failed", "collapse_exceed_none_pte", "collapse_exceed_shared_pte", "collapse_exceed_swap_pte",
        "nr_anon", "nr_anon_partially_mapped", "shmem_alloc", "shmem_fallback", "shmem_fallback_charge", "split", "split_deferred", "split_failed", "swpin", "swpin_fallback", "swpin_fallback_charge", "swpout",
        "swpout_fallback", "zswpout",
    ];

    private readonly HugePageSettings _settings;
    private readonly long[] _counts = new long[Names.Length];
    private HugePageSizePolicy _enabled;

    internal HugePageSize(HugePageSettings settings, int order, HugePageSizePolicy enabled)
    {
        _settings = settings;
        Order = order;
        _enabled = enabled;
    }

    /// <summary>log2 of its small pages.</summary>
    public int Order { get; }

    /// <summary>Its bytes.</summary>
    public ByteSize PageSize => new((ulong)PageGeometry.PageSize << Order);

    /// <summary>Who gets it (<c>enabled</c>): the largest size goes by <see cref="HugePageSettings.Enabled"/> after the boot, the others nobody.</summary>
    /// <exception cref="InvalidOperationException">Anonymous memory has no pages of this size (8 KiB), or the kernel has no transparent huge pages.</exception>
    public HugePageSizePolicy Enabled
    {
        get => _enabled;
        set
        {
            if (!IsOfAnonymous || !_settings.IsAvailable)
            {
                throw new InvalidOperationException($"there is no file hugepages-{PageSize.Bytes >> 10}kB/enabled");
            }

            _enabled = value;
            _settings.SizesChanged();
        }
    }

    /// <summary>Whether anonymous memory can have pages of this size: from four small ones on.</summary>
    public bool IsOfAnonymous => Order > 1;

    /// <summary>What is counted by size, by the kernel's names (<c>stats/anon_fault_alloc</c>).</summary>
    /// <param name="name">The file below <c>stats</c>.</param>
    /// <exception cref="ArgumentException">Nothing of that name is counted.</exception>
    public long this[string name] => Array.IndexOf(Names, name) is var index and >= 0 ? _counts[index] : throw new ArgumentException($"there is no file stats/{name}", nameof(name));

    /// <summary>The size as its folder is named.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"hugepages-{PageSize.Bytes >> 10}kB");

    internal static string NameOf(HugePageStat stat) => Names[(int)stat];

    internal void Count(HugePageStat stat, long change = 1) => Interlocked.Add(ref _counts[(int)stat], change);

    internal long Read(HugePageStat stat) => _counts[(int)stat];

    /// <summary>Whether an area's memory may come in pages of this size.</summary>
    internal bool IsFor(Vma vma) => _enabled switch
    {
        HugePageSizePolicy.Always => true,
        HugePageSizePolicy.Madvise => (vma.Flags & VmaFlags.HugePage) != 0,
        HugePageSizePolicy.Inherit => _settings.Enabled == TransparentHugePages.Always || (_settings.Enabled == TransparentHugePages.Madvise && (vma.Flags & VmaFlags.HugePage) != 0),
        _ => false,
    };
}
