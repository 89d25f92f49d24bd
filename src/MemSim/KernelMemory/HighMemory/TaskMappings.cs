namespace MemSim.KernelMemory;

/// <summary>A task's short-term mappings: the stack of <c>kmap_local_page()</c> and the slots of 2.6 that it holds.</summary>
/// <remarks>They belong to the task, not to the CPU: when another task runs they are taken out of the page tables, and put back when theirs returns.</remarks>
internal sealed class TaskMappings
{
    /// <summary>Mappings on the stack.</summary>
    public int Depth;

    /// <summary>Atomic mappings not undone yet, those of low memory included: so often are preemption and page faults disabled.</summary>
    public int Atomic;

    /// <summary>Which mappings on the stack are atomic, a bit each.</summary>
    public uint AtomicSlots;

    /// <summary>Which slots of 2.6 are in use, a bit each.</summary>
    public uint ClassicSlots;

    /// <summary>The CPU in whose slots the mappings are: the task must not move while it has some.</summary>
    public Cpu? Home;

    public readonly StackedMapping[] Stack = new StackedMapping[KernelAddressSpace.LocalSlots];

    public readonly int[] ClassicFrames = new int[KmTypes.Count];

    public bool HasSlots => (Depth | (int)ClassicSlots) != 0;
}

/// <summary>A mapping of the stack.</summary>
internal struct StackedMapping
{
    /// <summary>The walks of the CPU when the slot was written: as long as there is none more, no TLB can know the slot.</summary>
    public long Walks;

    public int Frame;
}
