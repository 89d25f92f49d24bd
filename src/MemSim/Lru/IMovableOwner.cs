namespace MemSim;

/// <summary>Somebody who owns pages that can be moved to another frame although no page table maps them: balloons, compressed memory, drivers (<c>struct movable_operations</c>).</summary>
/// <remarks>
/// Register it with <see cref="MachineMigration.RegisterMovableOwner"/> and hand it single pages with <see cref="MovableOwner.Adopt"/>. The methods are called with the page
/// locked, in the middle of compaction or of a contiguous allocation: they must not allocate or free pages.
/// </remarks>
public interface IMovableOwner
{
    /// <summary>Takes a page out of the owner's own lists, because it is about to be moved (<c>isolate_page()</c>).</summary>
    /// <param name="page">The page.</param>
    /// <returns>False when the page must stay where it is now.</returns>
    bool Isolate(Page page);

    /// <summary>Points everything that named an isolated page at its successor, which has the contents already (<c>migrate_page()</c>).</summary>
    /// <remarks>On success the owner's reference, mapping and index pass to the new page, and the old one is freed.</remarks>
    /// <param name="from">The isolated page.</param>
    /// <param name="to">The page that replaces it.</param>
    /// <param name="mode">How long it may take.</param>
    /// <returns>False when it cannot be moved now; it may be asked again.</returns>
    bool Migrate(Page from, Page to, MigrationMode mode);

    /// <summary>Takes back a page that was isolated but not moved (<c>putback_page()</c>).</summary>
    /// <param name="page">The page.</param>
    void PutBack(Page page);
}
