namespace MemSim;

/// <summary>A simulated file system: files by name.</summary>
public abstract class SimFileSystem
{
    private protected SimFileSystem(Machine machine) => Machine = machine;

    /// <summary>The machine it is mounted on.</summary>
    public Machine Machine { get; }

    internal abstract void EvictIfUnused(Cpu cpu, SimFile file);
}
