namespace MemSim;

/// <summary>Pages that can be moved without a page table. <see cref="Machine.Migration"/>.</summary>
public sealed class MachineMigration
{
    private readonly Machine _machine;

    internal MachineMigration(Machine machine) => _machine = machine;

    /// <summary>Registers somebody who owns movable pages.</summary>
    /// <param name="owner">Whom to ask when one of the pages shall move.</param>
    /// <returns>The registration, through which pages become the owner's.</returns>
    public MovableOwner RegisterMovableOwner(IMovableOwner owner)
    {
        ArgumentNullException.ThrowIfNull(owner);
        _machine.ThrowIfDisposed();
        return new MovableOwner(_machine, owner);
    }

    /// <summary>Makes a pool of movable pages: something to fragment memory with that compaction can repair.</summary>
    public MovablePool CreateMovablePool()
    {
        _machine.ThrowIfDisposed();
        return new MovablePool(_machine);
    }
}

/// <content>Owners of pages that can be moved without a page table.</content>
public sealed partial class Machine
{
    /// <summary>Owners of pages that can be moved without a page table.</summary>
    public MachineMigration Migration { get; }
}
