namespace MemSim;

/// <summary>How a TLB chooses the entry it gives up.</summary>
public enum TlbReplacement
{
    /// <summary>The least recently used.</summary>
    Lru,

    /// <summary>A binary tree of bits that approximates it; needs a power of two of ways.</summary>
    TreeLru,

    /// <summary>Any, from a seeded generator.</summary>
    Random,
}

/// <summary>A set-associative array of a TLB.</summary>
/// <param name="Sets">Number of sets, a power of two; 1 for a fully associative array.</param>
/// <param name="Ways">Entries of a set.</param>
/// <param name="Sizes">The page sizes it holds, smallest first. A larger page is stored as the fragment of the largest size that fits.</param>
public sealed record TlbArray(int Sets, int Ways, params IReadOnlyList<MappingSize> Sizes)
{
    /// <summary>Entries altogether.</summary>
    public int Entries => Sets * Ways;
}

/// <summary>The TLBs of a CPU.</summary>
public sealed record TlbGeometry
{
    private static readonly MappingSize[] Large = PageGeometry.Is4K ? [MappingSize.Page2M, MappingSize.Page4M] : [PageGeometry.HugeMapping];
    private static readonly MappingSize[] Small = [PageGeometry.SmallMapping];
    private static readonly MappingSize[] SmallAndLarge = [.. Small, .. Large];
    private static readonly MappingSize[] All = [.. Small, .. Large, MappingSize.Page1G];

    /// <summary>Describes TLBs.</summary>
    /// <param name="name">The CPU.</param>
    public TlbGeometry(string name) => Name = name;

    /// <summary>The CPU.</summary>
    public string Name { get; init; }

    /// <summary>L1 for data.</summary>
    public IReadOnlyList<TlbArray> L1Data { get; init; } = [];

    /// <summary>L1 for instructions.</summary>
    public IReadOnlyList<TlbArray> L1Instruction { get; init; } = [];

    /// <summary>L2, for both.</summary>
    public IReadOnlyList<TlbArray> L2 { get; init; } = [];

    /// <summary>Sets of the paging-structure cache of each level, four ways each: entries that lead to tables, lowest level (2) first. Empty for none.</summary>
    public IReadOnlyList<int> WalkCacheSets { get; init; } = [];

    /// <summary>Replacement in all of them.</summary>
    public TlbReplacement Replacement { get; init; } = TlbReplacement.Lru;

    /// <summary>No TLB and no walk caches at all: every access walks.</summary>
    public static TlbGeometry None { get; } = new("none");

    /// <summary>Intel Skylake (client).</summary>
    public static TlbGeometry Skylake { get; } = new("Skylake")
    {
        L1Data = [new(16, 4, Small), new(8, 4, Large), new(1, 4, MappingSize.Page1G)],
        L1Instruction = [new(16, 8, Small), new(1, 8, Large)],
        L2 = [new(128, 12, SmallAndLarge), new(4, 4, MappingSize.Page1G)],
        WalkCacheSets = [8, 1, 1],
    };

    /// <summary>AMD Zen 2.</summary>
    public static TlbGeometry Zen2 { get; } = new("Zen 2")
    {
        L1Data = [new(1, 64, All)],
        L1Instruction = [new(1, 64, All)],
        L2 = [new(128, 16, SmallAndLarge), new(1, 64, MappingSize.Page1G)],
        WalkCacheSets = [16, 4, 1],
    };

    /// <summary>ARM Cortex-A57.</summary>
    public static TlbGeometry CortexA57 { get; } = new("Cortex-A57")
    {
        L1Data = [new(1, 32, SmallAndLarge)],
        L1Instruction = [new(1, 48, SmallAndLarge)],
        L2 = [new(256, 4, All)],
        WalkCacheSets = [16, 4, 1],
    };

    internal static TlbGeometry Default(Architecture architecture) => architecture == Architecture.Arm64 ? CortexA57 : Skylake;

    internal void Check()
    {
        foreach (TlbArray array in (TlbArray[])[.. L1Data, .. L1Instruction, .. L2])
        {
            if (array.Sets < 1 || (array.Sets & (array.Sets - 1)) != 0 || array.Sets > 1 << 16 || array.Ways is < 1 or > 4096 || array.Sizes.Count == 0)
            {
                throw new ArgumentException($"{Name}: a TLB array of {array.Sets} sets and {array.Ways} ways: sets are a power of two up to 65536, ways 1 to 4096, and it holds at least one page size");
            }

            if (Replacement == TlbReplacement.TreeLru && ((array.Ways & (array.Ways - 1)) != 0 || array.Ways > 32))
            {
                throw new ArgumentException($"{Name}: a tree of {array.Ways} ways: a power of two up to 32 is possible");
            }
        }

        foreach (int sets in WalkCacheSets)
        {
            if (sets < 1 || (sets & (sets - 1)) != 0 || sets > 1 << 16)
            {
                throw new ArgumentException($"{Name}: a walk cache of {sets} sets: a power of two is needed");
            }
        }
    }
}
