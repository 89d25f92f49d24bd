using MemSim.KernelMemory;
using MemSim.Slab;

namespace MemSim;

/// <summary>How the subsystems of a machine are built.</summary>
internal sealed record SubsystemOptions
{
    public MmuOptions Mmu { get; init; } = MmuOptions.Default;

    public KernelStackOptions Stacks { get; init; } = KernelStackOptions.Default;

    /// <summary>What the command line says about slabs.</summary>
    public SlabParameters Slab { get; init; } = SlabParameters.Default;

    /// <summary>The size of huge pages that is meant where none is named; null for that of transparent ones.</summary>
    public ByteSize? DefaultHugePageSize { get; init; }

    /// <summary>Where per-CPU memory lies; null for where the architecture's usual kernel has it.</summary>
    public PercpuLayout? Percpu { get; init; }

    /// <summary>What the command line says about balancing between nodes; null for nothing.</summary>
    public bool? NumaBalancing { get; init; }

    /// <summary>Whether idle pages are tracked.</summary>
    public bool TracksIdlePages { get; init; }

    /// <summary>Whether the frames are those of a recorded or saved state, whose owners are not known.</summary>
    public bool Restored { get; init; } = true;
}
