using MemSim.Migration;

namespace MemSim;

/// <content>Page migration and pages that can be moved without a page table.</content>
public sealed partial class Machine
{
    internal PageMigrator Migrator { get; private set; } = null!;

    /// <summary>Registers somebody who owns movable pages.</summary>
    /// <param name="owner">Whom to ask when one of the pages shall move.</param>
    /// <returns>The registration, through which pages become the owner's.</returns>
    public MovableOwner RegisterMovableOwner(IMovableOwner owner)
    {
        ArgumentNullException.ThrowIfNull(owner);
        ThrowIfDisposed();
        return new MovableOwner(this, owner);
    }

    /// <summary>Makes a pool of movable pages: something to fragment memory with that compaction can repair.</summary>
    public MovablePool CreateMovablePool()
    {
        ThrowIfDisposed();
        return new MovablePool(this);
    }
}
