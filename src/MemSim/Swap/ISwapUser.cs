namespace MemSim.Swap;

/// <summary>Somebody who keeps swap entries: the processes in their page tables, shared memory in its trees.</summary>
internal interface ISwapUser
{
    /// <summary>Tells every entry kept, as often as it is kept.</summary>
    void CountEntries(SwapCensus census);

    /// <summary>Replaces every entry that lies in an area by its page (<c>unuse_mm()</c>, <c>shmem_unuse()</c>).</summary>
    /// <returns>ENOMEM or EIO when a page could not be brought in: what was replaced until then stays replaced.</returns>
    Errno Unuse(Cpu cpu, SwapArea area);
}

/// <summary>What <see cref="SwapSpace.Verify"/> counts the entries with.</summary>
internal sealed class SwapCensus
{
    private readonly Dictionary<int, int> _counts = [];

    public void Add(SwapEntry entry) => _counts[entry.Word] = _counts.GetValueOrDefault(entry.Word) + 1;

    public int CountOf(SwapEntry entry) => _counts.GetValueOrDefault(entry.Word);

    public IEnumerable<SwapEntry> Entries => _counts.Keys.Select(SwapEntry.FromWord);
}
