using System.Text.Json;

namespace MemSim.Recordings.Replay;

/// <summary>Which numbers the flags of caches had in the kernel that was recorded: later ones number them without holes.</summary>
internal sealed class SlabFlagNumbers
{
    private static readonly (string Name, SlabFlags Flag)[] Names =
    [
        ("CONSISTENCY_CHECKS", SlabFlags.ConsistencyChecks), ("RED_ZONE", SlabFlags.RedZone), ("POISON", SlabFlags.Poison), ("HWCACHE_ALIGN", SlabFlags.HwCacheAlign),
        ("CACHE_DMA", SlabFlags.CacheDma), ("CACHE_DMA32", SlabFlags.CacheDma32), ("STORE_USER", SlabFlags.StoreUser), ("PANIC", SlabFlags.Panic),
        ("TYPESAFE_BY_RCU", SlabFlags.TypesafeByRcu), ("ACCOUNT", SlabFlags.Account), ("RECLAIM_ACCOUNT", SlabFlags.ReclaimAccount),
    ];

    private readonly List<(uint Number, SlabFlags Flag)> _flags;
    private readonly SlabFlags _known;

    private SlabFlagNumbers(List<(uint Number, SlabFlags Flag)> flags)
    {
        _flags = flags;
        _known = flags.Aggregate(SlabFlags.None, (all, f) => all | f.Flag);
    }

    /// <summary>Whether the numbers are those of <see cref="SlabFlags"/>, unnamed ones included.</summary>
    private bool IsOwn => _flags.TrueForAll(f => f.Number == (uint)f.Flag);

    /// <summary>Reads the records <c>slabflag</c>.</summary>
    public static SlabFlagNumbers Of(IEnumerable<JsonElement> records)
    {
        List<(uint Number, SlabFlags Flag)> flags = [];
        foreach (JsonElement record in records.Where(r => r.GetProperty("t").GetString() == "slabflag"))
        {
            string? name = record.GetProperty("name").GetString();
            if (Array.Find(Names, n => n.Name == name) is { Name: not null } known)
            {
                flags.Add((record.GetProperty("value").GetUInt32(), known.Flag));
            }
        }

        // Nobody may ask for it, so no request names it: it has kept its place before HWCACHE_ALIGN.
        uint align = flags.Find(f => f.Flag == SlabFlags.HwCacheAlign).Number;
        if (align != 0)
        {
            flags.Add((align >> 1, SlabFlags.Kmalloc));
        }

        return new SlabFlagNumbers(flags);
    }

    /// <summary>What a recorded number means, as far as it is known.</summary>
    public SlabFlags ToFlags(uint number) => IsOwn ? (SlabFlags)number : _flags.Where(f => (number & f.Number) != 0).Aggregate(SlabFlags.None, (all, f) => all | f.Flag);

    /// <summary>Whether a recorded number has the flag that keeps other caches away (<c>SLAB_NO_MERGE</c>, 6.5), right below that of accounting; no request names it either.</summary>
    public bool RefusesMerging(uint number) => !IsOwn && (number & (_flags.Find(f => f.Flag == SlabFlags.Account).Number >> 1)) != 0;

    /// <summary>Of a cache's flags those that the recording can tell.</summary>
    public SlabFlags Comparable(SlabFlags flags) => IsOwn ? flags : flags & _known;
}
