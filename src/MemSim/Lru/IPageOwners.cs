namespace MemSim.Lru;

/// <summary>What reclaim, compaction and migration ask of those who own and map pages: reverse mapping, page cache, swap cache.</summary>
/// <remarks>
/// Implemented by the address spaces. Every page given is the head of its block, allocated, and off its LRU list ("isolated") with a reference held by the
/// caller, and locked (<see cref="PageFlags.Locked"/>). Frame numbers are <see cref="int"/> indexes, as everywhere inside the machine.
/// </remarks>
internal interface IPageOwners
{
    /// <summary>Counts and clears the accessed bits of all page-table entries that map a page (<c>folio_referenced()</c>).</summary>
    PageReferences Referenced(Cpu cpu, int pfn);

    /// <summary>Finds out for idle page tracking whether a page was used, and makes its entries old. The page is on its list; the caller holds a reference.</summary>
    void ClearIdleReferences(Cpu cpu, int pfn)
    {
    }

    /// <summary>Looks through the page tables of all processes for pages of some lists that were used since the last time, and puts them into the youngest generation (<c>walk_mm()</c>).</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="vec">The lists.</param>
    /// <param name="walk">What for.</param>
    void WalkForAging(Cpu cpu, LruVec vec, AgingWalk walk)
    {
    }

    /// <summary>Takes a page out of all page tables (<c>try_to_unmap()</c>): anonymous pages, which must be in the swap cache, leave swap entries; a dirty entry makes the page dirty.</summary>
    /// <returns>Whether nothing maps the page any more.</returns>
    bool TryToUnmap(Cpu cpu, int pfn);

    /// <summary>Finds a swap slot for an anonymous page and puts it into the swap cache, dirty (<c>add_to_swap()</c>).</summary>
    /// <returns>False when there is no swap, or none left.</returns>
    bool AddToSwap(Cpu cpu, int pfn);

    /// <summary>Makes small pages of a huge one (<c>split_folio()</c>): the first keeps the caller's reference, the others go back to the list from which it was taken.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="pfn">The page.</param>
    /// <param name="counts">Whether it is counted as a split.</param>
    /// <returns>False when somebody unexpected holds it.</returns>
    bool SplitHuge(Cpu cpu, int pfn, bool counts = true) => false;

    /// <summary>Whether part of a large page of a process is not mapped any more, so that it waits to be split.</summary>
    bool IsPartlyUnmapped(int pfn) => false;

    /// <summary>Counts a large page of a process that reclaim takes to swap.</summary>
    /// <param name="order">Its order.</param>
    /// <param name="whole">Whether in one piece.</param>
    void CountSwapOut(int order, bool whole)
    {
    }

    /// <summary>Starts writing a dirty page to its file or swap slot (<c>pageout()</c>).</summary>
    PageOutOutcome PageOut(Cpu cpu, int pfn);

    /// <summary>Takes a clean, unmapped page out of the page cache or swap cache, if nobody but the cache and the caller holds it (<c>__remove_mapping()</c>); the cache's reference is dropped and a shadow is left for workingset detection.</summary>
    /// <returns>False when somebody else holds it or it is dirty.</returns>
    bool RemoveFromCache(Cpu cpu, int pfn);

    /// <summary>Replaces all page-table entries of a page by migration entries (<c>try_to_migrate()</c>).</summary>
    /// <returns>Whether nothing maps the page any more.</returns>
    bool UnmapForMigration(Cpu cpu, int pfn);

    /// <summary>Gives a page's identity (mapping, index, swap slot, cache entry, reference of the cache) to another page (<c>folio_migrate_mapping()</c>).</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="from">The page, mapped nowhere.</param>
    /// <param name="to">The new page, of the same order.</param>
    /// <returns>False when somebody unexpected holds the page; nothing is changed then.</returns>
    bool MoveMapping(Cpu cpu, int from, int to);

    /// <summary>Moves a huge page of processes that is mapped as a whole everywhere: contents, entries, owner and state go to the new page.</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="from">The page, isolated.</param>
    /// <param name="to">The new page, of the same order.</param>
    /// <returns>False when it is no such page, or somebody unexpected holds it; nothing is changed then.</returns>
    bool MoveHugePage(Cpu cpu, int from, int to) => false;

    /// <summary>The last reference of a page of higher order is gone: whoever counted how it was mapped forgets it.</summary>
    /// <param name="pfn">Its first frame.</param>
    void HugePageFreed(int pfn)
    {
    }

    /// <summary>Turns the migration entries of a page into mappings (<c>remove_migration_ptes()</c>): of the new page, or of the old one when the move failed.</summary>
    void RestoreMappings(Cpu cpu, int from, int to);
}

/// <summary>What <see cref="IPageOwners.Referenced"/> found.</summary>
/// <param name="Count">Entries that had been used since the last time.</param>
/// <param name="Executable">Whether one of the areas is executable.</param>
/// <param name="Locked">Whether one of the areas is locked into memory.</param>
internal readonly record struct PageReferences(int Count, bool Executable, bool Locked);

/// <summary>What a walk of page tables is for.</summary>
/// <param name="Sequence">The youngest generation: where pages that were used belong.</param>
/// <param name="Swappiness">Which kinds matter.</param>
/// <param name="SkipsUnusedTables">Whether tables that the hardware has not marked as used are passed over.</param>
internal readonly record struct AgingWalk(long Sequence, int Swappiness, bool SkipsUnusedTables);

/// <summary>What became of writing a page (<c>pageout_t</c>).</summary>
internal enum PageOutOutcome
{
    /// <summary>Cannot be written: keep it.</summary>
    Keep,

    /// <summary>Cannot be written now: make it active.</summary>
    Activate,

    /// <summary>Writing began (<see cref="PageFlags.Writeback"/>) or, on a synchronous device, is done.</summary>
    Success,

    /// <summary>Nothing had to be written.</summary>
    Clean,
}
