using MemSim.Migration;

namespace MemSim;

/// <summary>Pages that can be moved without a page table. <see cref="Machine.Migration"/>.</summary>
public sealed class MachineMigration
{
    private readonly Machine _machine;

    internal MachineMigration(Machine machine) => _machine = machine;

    /// <summary>Automatic balancing between nodes.</summary>
    public NumaBalancing Balancing { get; internal set; } = null!;

    /// <summary>Nodes by the speed of their memory.</summary>
    public MemoryTiers Tiers { get; internal set; } = null!;

    /// <summary>How memory is spread by <see cref="MemoryPolicyMode.WeightedInterleave"/> (Linux 6.9).</summary>
    /// <exception cref="InvalidOperationException">The kernel is older.</exception>
    public InterleaveWeights InterleaveWeights => _machine.Personality.Areas.WeightsInterleave
        ? _machine.ZoneTable.InterleaveWeights
        : throw new InvalidOperationException($"{_machine.Personality} spreads memory evenly only: weights came with 6.9");

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

    /// <summary>What a process has on nodes that its cpuset does not allow any more goes to those it does (<c>cpuset_migrate_mm()</c>).</summary>
    internal void MoveOutOfCpuset(Process process, ulong from, ulong to)
    {
        if (process.IsAlive && from != 0)
        {
            _ = process.MigratePages(_machine.CpuTable.CallersCpu(process.RunsOn), Nodes(from), Nodes(to));
        }

        static int[] Nodes(ulong mask) => [.. Enumerable.Range(0, 64).Where(node => (mask >> node & 1) != 0)];
    }

    /// <summary>The tracepoints of all that moves pages, and who receives them.</summary>
    internal CompactionTracepoints Tracepoints { get; } = new();

    /// <summary>The tracepoints of compaction, migration and CMA when somebody listens, else null.</summary>
    internal CompactionTracepoints? Trace => Tracepoints.IsIdle ? null : Tracepoints;

    /// <summary>Who moves pages.</summary>
    internal PageMigrator Migrator { get; set; } = null!;
}

/// <content>Owners of pages that can be moved without a page table.</content>
public sealed partial class Machine
{
    /// <summary>Owners of pages that can be moved without a page table.</summary>
    public MachineMigration Migration { get; }
}
