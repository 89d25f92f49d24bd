using MemSim.Collections;

namespace MemSim.CompressedMemory;

/// <summary>A page that zswap keeps (<c>struct zswap_entry</c>).</summary>
internal sealed class ZswapEntry
{
    public required SwapEntry Slot { get; init; }

    /// <summary>Bytes it is compressed to; 0 for a page of one word, a whole page for one that did not compress.</summary>
    public required int Length { get; init; }

    public ulong Word { get; init; }

    public int Handle { get; set; }

    public ZswapPool? Pool { get; init; }

    /// <summary>The cgroup that pays, by number.</summary>
    public int Owner { get; set; }

    /// <summary>Whether it was stored, or passed over, since write-back looked at it.</summary>
    public bool IsReferenced { get; set; } = true;

    /// <summary>Its own object of the slab cache.</summary>
    public VirtualAddress Object { get; init; }

    private Links<ZswapEntry, AgeLinks> _ageLinks;

    /// <summary>Its place in a list that write-back goes through; in none where pools write back.</summary>
    internal readonly struct AgeLinks : IChainLinks<ZswapEntry, AgeLinks>
    {
        public static ref Links<ZswapEntry, AgeLinks> Of(ZswapEntry member) => ref member._ageLinks;
    }
}

/// <summary>What happened in zswap: the files of its directory in debugfs.</summary>
internal sealed class ZswapCounts
{
    public long LimitHits { get; set; }

    public long RefusedAllocations { get; set; }

    public long RefusedObjects { get; set; }

    public long PoorlyCompressed { get; set; }

    public long NotCompressed { get; set; }

    public long NotDecompressed { get; set; }

    public long Duplicates { get; set; }

    public long FailedWritebacks { get; set; }

    public long WrittenBack { get; set; }

    /// <summary>Pages of one word that are kept now.</summary>
    public long SameFilled { get; set; }

    /// <summary>Pages that are kept uncompressed now.</summary>
    public long Incompressible { get; set; }
}

/// <summary>A pool with the compressor of what is in it (<c>struct zswap_pool</c>).</summary>
/// <param name="Memory">Where compressed pages lie.</param>
/// <param name="Compressor">How they are compressed.</param>
internal sealed record ZswapPool(ICompressedPool Memory, PageCompressor Compressor)
{
    /// <summary>Pages in it.</summary>
    public long Entries { get; set; }

    /// <summary>Entries by handle, where the pool writes back.</summary>
    public Dictionary<int, ZswapEntry> ByHandle { get; } = [];
}
