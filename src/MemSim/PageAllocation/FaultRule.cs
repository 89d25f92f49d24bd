using System.Globalization;

namespace MemSim;

/// <summary>Places where a kernel built with <c>CONFIG_FAULT_INJECTION</c> can fail on purpose.</summary>
[Flags]
public enum FaultPoints
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary><c>fail_page_alloc</c>: requests to the page allocator, those of slabs, page tables and vmalloc included.</summary>
    FailPageAlloc = 1,

    /// <summary><c>failslab</c>: requests for objects, of kmalloc and of caches.</summary>
    FailSlab = 2,

    /// <summary>Both: all allocations.</summary>
    Allocations = FailPageAlloc | FailSlab,

    /// <summary><c>fail_usercopy</c>: copies from and to processes (<see cref="CpuUser.CopyFromUser"/>, <see cref="CpuUser.CopyToUser"/>), of which nothing is copied then.</summary>
    FailUsercopy = 4,

    /// <summary>Everything.</summary>
    All = Allocations | FailUsercopy,
}

/// <summary>What fails on purpose: the settings of <c>fail_page_alloc</c>, <c>failslab</c> and <c>fail_usercopy</c> (<c>Documentation/fault-injection</c>), and filters that find one request among many.</summary>
/// <remarks>
/// A rule first looks whether it applies (<see cref="Points"/> and the filters), then counts: the first <see cref="First"/> - 1 requests pass, <see cref="Space"/> is used up, of every
/// <see cref="Interval"/> requests one is chosen, which fails with <see cref="Probability"/>, at most <see cref="Times"/> times. Requests with <see cref="Gfp.NoFail"/> never fail, as in the kernel.
/// </remarks>
public sealed record FaultRule
{
    /// <summary>Where it applies; where nothing else is said, to all allocations.</summary>
    public FaultPoints Points { get; init; } = FaultPoints.Allocations;

    /// <summary>The first request that may fail, counted from 1 among those the filters let through (<c>fail-nth</c>).</summary>
    public long First { get; init; } = 1;

    /// <summary>Of so many requests one is chosen, the last (<c>interval</c>).</summary>
    public long Interval { get; init; } = 1;

    /// <summary>How many fail at most (<c>times</c>); -1 for no limit.</summary>
    public long Times { get; init; } = -1;

    /// <summary>How often a chosen request fails, in percent from 0 to 100 (<c>probability</c>).</summary>
    public double Probability { get; init; } = 100;

    /// <summary>Where the random numbers of <see cref="Probability"/> begin: the same seed gives the same failures.</summary>
    public ulong Seed { get; init; } = 88172645463325252;

    /// <summary>What is handed out before anything fails (<c>space</c>): pages of the page allocator, bytes of objects, copies.</summary>
    public long Space { get; init; }

    /// <summary>Only objects of the cache of this name, e.g. <c>vm_area_struct</c> or <c>kmalloc-64</c> (<c>cache-filter</c>); null for all.</summary>
    /// <remarks>A rule that names a cache does not apply to the page allocator.</remarks>
    public string? Cache { get; init; }

    /// <summary>Only requests of at least this order, log2 of pages (<c>min-order</c>).</summary>
    public int MinOrder { get; init; }

    /// <summary>Only requests of at most this order, log2 of pages.</summary>
    public int MaxOrder { get; init; } = int.MaxValue;

    /// <summary>Only requests with all of these flags.</summary>
    public Gfp With { get; init; }

    /// <summary>Only requests with none of these flags (<c>ignore-gfp-wait</c> is <see cref="Gfp.DirectReclaim"/>, <c>ignore-gfp-highmem</c> is <see cref="Gfp.HighMem"/>).</summary>
    public Gfp Without { get; init; }

    /// <summary>Only requests whose highest zone is this one (<c>gfp_zone()</c>); null for all.</summary>
    public ZoneType? Zone { get; init; }

    /// <summary>Only what this task asks for outside of interrupts (<c>task-filter</c>, <c>make-it-fail</c>); null for all.</summary>
    public KernelTask? Task { get; init; }

    /// <summary>Only requests below this call site, as <see cref="Cpu.CallSite"/> names it, with or without its offset; null for all.</summary>
    public string? CallSite { get; init; }

    /// <summary>The n-th request fails and no other.</summary>
    /// <param name="n">Its number, from 1.</param>
    public static FaultRule Nth(long n) => new() { First = n, Times = 1 };

    /// <summary>Every n-th request fails.</summary>
    /// <param name="n">The interval, from 1.</param>
    public static FaultRule EveryNth(long n) => new() { Interval = n };

    /// <summary>The next requests fail.</summary>
    /// <param name="count">How many.</param>
    public static FaultRule Next(long count) => new() { Times = count };

    /// <summary>Requests fail at random, the same for the same seed.</summary>
    /// <param name="percent">How many of a hundred.</param>
    /// <param name="seed">Where the random numbers begin.</param>
    public static FaultRule AtRandom(double percent, ulong seed) => new() { Probability = percent, Seed = seed };

    /// <summary>What the boot parameter <c>fail_page_alloc=</c> sets, with the kernel's defaults: no requests that may wait or take high memory, none of order 0.</summary>
    /// <param name="setting"><c>interval,probability,space,times</c>.</param>
    /// <exception cref="FormatException">These are not four numbers.</exception>
    public static FaultRule FailPageAlloc(string setting) =>
        Parse(setting) with { Points = FaultPoints.FailPageAlloc, Without = Gfp.DirectReclaim | Gfp.HighMem, MinOrder = 1 };

    /// <summary>What the boot parameter <c>failslab=</c> sets, with the kernel's default: no requests that may wait.</summary>
    /// <param name="setting"><c>interval,probability,space,times</c>.</param>
    /// <exception cref="FormatException">These are not four numbers.</exception>
    public static FaultRule FailSlab(string setting) => Parse(setting) with { Points = FaultPoints.FailSlab, Without = Gfp.DirectReclaim };

    /// <summary>What the boot parameter <c>fail_usercopy=</c> sets.</summary>
    /// <param name="setting"><c>interval,probability,space,times</c>.</param>
    /// <exception cref="FormatException">These are not four numbers.</exception>
    public static FaultRule FailUsercopy(string setting) => Parse(setting) with { Points = FaultPoints.FailUsercopy };

    private static FaultRule Parse(string setting)
    {
        ArgumentNullException.ThrowIfNull(setting);
        string[] parts = setting.Split(',');
        long[] numbers = new long[4];
        for (int i = 0; i < numbers.Length; i++)
        {
            if (parts.Length != numbers.Length || !long.TryParse(parts[i], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out numbers[i]))
            {
                throw new FormatException($"fault injection: '{setting}' is not interval,probability,space,times");
            }
        }

        return new FaultRule { Interval = Math.Max(numbers[0], 1), Probability = Math.Clamp(numbers[1], 0, 100), Space = Math.Max(numbers[2], 0), Times = Math.Max(numbers[3], -1) };
    }
}

/// <summary>An allocation, or a copy from or to a process, that was made to fail.</summary>
/// <param name="Point">Where.</param>
/// <param name="Number">Which it was of the requests the rule applied to, from 1.</param>
/// <param name="Gfp">Its flags; none for copies.</param>
/// <param name="Order">log2 of its pages; 0 for objects and copies.</param>
/// <param name="Cache">The cache asked for an object; empty for pages and copies.</param>
/// <param name="Bytes">Bytes asked for, or to be copied.</param>
/// <param name="CallSite">What <see cref="Cpu.CallSite"/> said; empty where nobody did.</param>
/// <param name="Task">Who asked.</param>
public sealed record InjectedFault(FaultPoints Point, long Number, Gfp Gfp, int Order, string Cache, long Bytes, string CallSite, KernelTask Task)
{
    /// <summary>The failure in a line, as <c>failslab: request 7, vm_area_struct (136 bytes), GFP_KERNEL, by init:1</c>.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{What}, by {Task}{(CallSite.Length == 0 ? "" : $" at {CallSite}")}");

    private string What => Point switch
    {
        FaultPoints.FailSlab => string.Create(CultureInfo.InvariantCulture, $"failslab: request {Number}, {Cache} ({Bytes} bytes), {GfpText.Format(Gfp)}"),
        FaultPoints.FailUsercopy => string.Create(CultureInfo.InvariantCulture, $"fail_usercopy: request {Number}, {Bytes} bytes"),
        _ => string.Create(CultureInfo.InvariantCulture, $"fail_page_alloc: request {Number}, order {Order}, {GfpText.Format(Gfp)}"),
    };
}
