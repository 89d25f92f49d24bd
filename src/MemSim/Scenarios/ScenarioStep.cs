namespace MemSim.Scenarios;

/// <summary>What a process of a scenario does.</summary>
internal enum StepKind
{
    Anonymous,
    SharedMemory,
    Stack,
    MapFile,
    Touch,
    ReadFile,
    WriteFile,
    Fork,
    Lock,
    Unmap,
    KernelPages,
    TryBlocks,
    Stay,
}

/// <summary>One step of a process of a scenario; which fields mean something depends on the kind.</summary>
internal sealed record ScenarioStep(StepKind Kind)
{
    /// <summary>The file.</summary>
    public string Name { get; init; } = "";

    /// <summary>Pages of the region, the file's part or the chunk.</summary>
    public long Pages { get; init; }

    public AccessPattern Pattern { get; init; }

    /// <summary>Touches, or blocks for steps that allocate; 0: every page once.</summary>
    public long Count { get; init; }

    /// <summary>The part of touches that write, or of blocks that are kept.</summary>
    public double Share { get; init; } = 1;

    /// <summary>Generations of children, or the order of a block.</summary>
    public int Depth { get; init; }

    public int FanOut { get; init; }

    /// <summary>Whether writes to the mapping go to the file.</summary>
    public bool IsShared { get; init; }

    /// <summary>Touches that the step makes in a region of a size.</summary>
    public long Touches(long regionPages) => Count != 0 ? Count : regionPages;
}
