using System.Globalization;
using MemSim.CompressedMemory;
using MemSim.Kernels;
using MemSim.Lru;

namespace MemSim;

/// <summary>Compressed memory in front of the swap areas: pages that are swapped out stay in memory, compressed, while there is room (<c>mm/zswap.c</c>).</summary>
/// <remarks>
/// Off until it is switched on, as in Debian. A page keeps its slot, so swap is used up by what zswap holds, too. Its pool takes frames of the page allocator. When
/// the pool is full, pages go to their area past it until it has shrunk to a share of its limit: a kernel thread writes back the oldest. On 6.1 its pool is zbud by
/// default; since 6.8 pages are kept in order by cgroup, and since 6.18 there is zsmalloc alone.
/// </remarks>
/// <example><code>
/// machine.Swap.SwapOn(disk);
/// machine.Swap.Zswap["enabled"] = "Y";
/// machine.Swap.Zswap["max_pool_percent"] = "20";
/// </code></example>
public sealed class Zswap
{
    private readonly Machine _machine;
    private readonly CompressedMemoryRules _rules;
    private readonly ZswapPages _pages;
    private string _compressor = LzoCompressor.KernelName;
    private string _poolName;
    private bool _isEnabled;
    private ZswapShrinker? _shrinker;

    internal Zswap(Machine machine)
    {
        _machine = machine;
        _rules = machine.Personality.CompressedMemory;
        _poolName = _rules.ZswapByCgroup ? Zsmalloc.KernelName : Zbud.KernelName;
        _pages = new ZswapPages(machine, this);
    }

    /// <summary>Whether pages that are swapped out are kept; what is kept stays when it is switched off.</summary>
    public bool Enabled
    {
        get => _isEnabled;
        set
        {
            _machine.ThrowIfDisposed();
            _isEnabled = value;
            if (value)
            {
                _machine.Swap.Front = _pages;
            }
        }
    }

    /// <summary>The share of all memory that its pools may take, in percent.</summary>
    public int MaxPoolPercent { get; private set; } = 20;

    /// <summary>The share of that limit to which a full pool must shrink before it takes pages again, in percent.</summary>
    public int AcceptThresholdPercent { get; private set; } = 90;

    /// <summary>Whether reclaim shrinks it before it is full (since 6.8).</summary>
    public bool ShrinkerEnabled => _shrinker is not null;

    internal string Compressor => _compressor;

    internal string PoolName => _poolName;

    /// <summary>Whether pages of one word are kept as that word (6.1).</summary>
    internal bool KeepsSameFilled { get; private set; } = true;

    /// <summary>Whether others are kept (6.1).</summary>
    internal bool KeepsOthers { get; private set; } = true;

    /// <summary>Pages that are kept.</summary>
    public long StoredPages => _pages.Stored;

    /// <summary>Frames of its pools, in bytes.</summary>
    public long PoolBytes => _pages.PoolPages << PageGeometry.PageShift;

    /// <summary>Pages that were written from it to their area.</summary>
    public long WrittenBackPages => _pages.Counts.WrittenBack;

    /// <summary>The files of <c>/sys/kernel/debug/zswap</c>, each a line with its name.</summary>
    public string Statistics
    {
        get
        {
            ZswapCounts c = _pages.Counts;
            SortedDictionary<string, long> rows = new(StringComparer.Ordinal)
            {
                ["pool_limit_hit"] = c.LimitHits,
                ["pool_total_size"] = PoolBytes,
                ["reject_alloc_fail"] = c.RefusedAllocations,
                ["reject_compress_poor"] = c.PoorlyCompressed,
                ["reject_kmemcache_fail"] = c.RefusedObjects,
                ["reject_reclaim_fail"] = c.FailedWritebacks,
                ["stored_pages"] = StoredPages,
                ["written_back_pages"] = WrittenBackPages,
            };
            if (_rules.ZswapByCgroup)
            {
                rows["reject_compress_fail"] = c.NotCompressed;
            }
            else
            {
                rows["duplicate_entry"] = c.Duplicates;
                rows["same_filled_pages"] = c.SameFilled;
            }

            if (_rules.ZswapKeepsIncompressible)
            {
                rows["decompress_fail"] = c.NotDecompressed;
                rows["stored_incompressible_pages"] = c.Incompressible;
            }

            return string.Concat(rows.Select(row => string.Create(CultureInfo.InvariantCulture, $"{row.Key} {row.Value}\n")));
        }
    }

    /// <summary>A file of <c>/sys/module/zswap/parameters</c>, as the kernel prints and takes it.</summary>
    /// <param name="parameter">
    /// <c>enabled</c>, <c>compressor</c> (<c>lzo</c>, <c>lz4</c>), <c>max_pool_percent</c>, <c>accept_threshold_percent</c>; until 6.17 <c>zpool</c> (<c>zsmalloc</c>, <c>zbud</c>);
    /// since 6.8 <c>shrinker_enabled</c>; before, <c>same_filled_pages_enabled</c> and <c>non_same_filled_pages_enabled</c>.
    /// </param>
    /// <exception cref="ArgumentException">There is no such parameter, or it does not take what is written.</exception>
    public string this[string parameter]
    {
        get => Read(parameter) ?? throw new ArgumentException($"zswap has no parameter {parameter} on {_machine.Personality}", nameof(parameter));
        set
        {
            Errno error = Write(parameter, value);
            if (error != Errno.None)
            {
                throw new ArgumentException($"zswap's {parameter} does not take \"{value}\": {error}", nameof(value));
            }
        }
    }

    /// <summary>Writes a parameter as a shell would. Another compressor or pool serves what is stored from now on; the old one goes with its last page.</summary>
    /// <param name="parameter">Its name.</param>
    /// <param name="text">What is written.</param>
    /// <returns>ENOENT: there is none of that name; EINVAL: it does not take that.</returns>
    public Errno Write(string parameter, string text)
    {
        ArgumentNullException.ThrowIfNull(parameter);
        ArgumentNullException.ThrowIfNull(text);
        if (Read(parameter) is null)
        {
            return Errno.ENOENT;
        }

        using OwnersLock.Scope owners = _machine.OwnersLock.Enter();
        string value = text.Trim();
        switch (parameter)
        {
            case "compressor":
                return Choose(ref _compressor, value, PageCompressor.Find(value) is not null);
            case "zpool":
                return Choose(ref _poolName, value, value is Zsmalloc.KernelName or Zbud.KernelName);
            case "max_pool_percent" or "accept_threshold_percent":
                return SetPercent(parameter, value);
        }

        bool? yes = value switch { "1" or "Y" or "y" => true, "0" or "N" or "n" => false, _ => null };
        if (yes is not { } on)
        {
            return Errno.EINVAL;
        }

        switch (parameter)
        {
            case "enabled":
                Enabled = on;
                break;
            case "shrinker_enabled":
                SwitchShrinker(on);
                break;
            case "same_filled_pages_enabled":
                KeepsSameFilled = on;
                break;
            default:
                KeepsOthers = on;
                break;
        }

        return Errno.None;
    }

    /// <summary>How much it keeps and takes.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"zswap: {StoredPages} pages in {_pages.PoolPages} frames{(Enabled ? "" : ", off")}");

    internal void Verify() => _pages.Verify();

    private string? Read(string parameter)
    {
        static string Bool(bool value) => value ? "Y\n" : "N\n";
        return parameter switch
        {
            "enabled" => Bool(Enabled),
            "compressor" => _compressor + "\n",
            "zpool" when _rules.ZswapChoosesPool => _poolName + "\n",
            "max_pool_percent" => MaxPoolPercent.ToString(CultureInfo.InvariantCulture) + "\n",
            "accept_threshold_percent" => AcceptThresholdPercent.ToString(CultureInfo.InvariantCulture) + "\n",
            "shrinker_enabled" when _rules.ZswapByCgroup => Bool(ShrinkerEnabled),
            "same_filled_pages_enabled" when !_rules.ZswapByCgroup => Bool(KeepsSameFilled),
            "non_same_filled_pages_enabled" when !_rules.ZswapByCgroup => Bool(KeepsOthers),
            _ => null,
        };
    }

    private Errno SetPercent(string parameter, string value)
    {
        if (!int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int percent))
        {
            return Errno.EINVAL;
        }

        if (parameter == "max_pool_percent")
        {
            MaxPoolPercent = percent;
        }
        else
        {
            AcceptThresholdPercent = percent;
        }

        return Errno.None;
    }

    private Errno Choose(ref string chosen, string value, bool exists)
    {
        if (!exists)
        {
            return Errno.EINVAL;
        }

        if (chosen != value)
        {
            chosen = value;
            _pages.Retire();
        }

        return Errno.None;
    }

    private void SwitchShrinker(bool on)
    {
        if (on && _shrinker is null)
        {
            _shrinker = new ZswapShrinker(_machine, _pages);
            _machine.Shrinkers.Register(_shrinker);
        }
        else if (!on && _shrinker is not null)
        {
            _ = _machine.Shrinkers.Remove(_shrinker);
            _shrinker = null;
        }
    }

    /// <summary>Shrinks zswap when memory is short, before its pool is full (<c>mm-zswap</c>).</summary>
    private sealed class ZswapShrinker(Machine machine, ZswapPages pages) : Shrinker("mm-zswap")
    {
        protected override long CountObjects(in ShrinkRequest request)
        {
            using OwnersLock.Scope owners = machine.OwnersLock.Enter();
            long listed = pages.Listed(request.Node.Id);

            // Well compressed pages are worth less: it asks for as many as would free the pool's frames.
            return listed == 0 ? 0 : listed * pages.PoolPages / pages.Stored;
        }

        protected override long ScanObjects(in ShrinkRequest request)
        {
            using OwnersLock.Scope owners = machine.OwnersLock.Enter();
            return pages.WriteBackFrom(request.Cpu, request.Node.Id, request.ToScan);
        }
    }
}

/// <content>Zswap.</content>
public sealed partial class SwapSpace
{
    /// <summary>Compressed memory in front of the areas; off until it is switched on.</summary>
    public Zswap Zswap { get; internal set; } = null!;

    /// <summary>The pools of zram and zswap.</summary>
    internal CompressedPools CompressedPools { get; } = new();
}
