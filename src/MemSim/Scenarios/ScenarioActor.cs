namespace MemSim.Scenarios;

/// <summary>A process of a running scenario: where in its program it is, and what it has.</summary>
internal sealed class ScenarioActor
{
    public ScenarioActor(ScenarioActor? tree, Process process, Cpu cpu, IReadOnlyList<ScenarioStep> steps, ulong seed, ulong stream)
    {
        Tree = tree ?? this;
        Process = process;
        Cpu = cpu;
        Steps = steps;
        Random = new Xorshift64(seed, stream);
    }

    /// <summary>The process of the description that it descends from, which counts for all its descendants.</summary>
    public ScenarioActor Tree { get; }

    public Process Process { get; }

    public Cpu Cpu { get; }

    public IReadOnlyList<ScenarioStep> Steps { get; }

    public List<ScenarioRegion> Regions { get; init; } = [];

    /// <summary>Blocks that the kernel allocated for it: the first frame and the order.</summary>
    public List<(int Pfn, int Order)> Blocks { get; } = [];

    /// <summary>The parent, while it waits for its children.</summary>
    public ScenarioActor? Parent { get; init; }

    /// <summary>The last pattern, which children repeat.</summary>
    public ScenarioStep? LastPattern { get; set; }

    public int StepIndex { get; set; }

    /// <summary>Whether the step has begun.</summary>
    public bool HasBegun { get; set; }

    /// <summary>What is left of the step: touches, chunks, blocks or children.</summary>
    public long Left { get; set; }

    /// <summary>The file being streamed, where in it, and the bytes that go to or come from it.</summary>
    public OpenFile? File { get; set; }

    public long Position { get; set; }

    public byte[]? Buffer { get; set; }

    public int LivingChildren { get; set; }

    public bool HasEnded { get; set; }

    public bool Stays { get; set; }

    public string Ended { get; set; } = "done";

    // Changed with every touch.
    public Xorshift64 Random;
    public AccessStream Stream;

    // Of the whole tree, counted at its root.
    public long Touches;
    public long MinorFaults;
    public long MajorFaults;
    public long Failures;
    public long Children;
    public long ChildrenKilled;

    public ScenarioStep Step => Steps[StepIndex];

    public void NextStep()
    {
        StepIndex++;
        HasBegun = false;
    }
}
