namespace MemSim.Soak;

/// <summary>What a step does.</summary>
internal enum StepKind
{
    AllocPages,
    FreePages,
    CheckPages,
    Kmalloc,
    AllocObject,
    FreeObject,
    CreateCache,
    DestroyCache,
    Vmalloc,
    Vfree,
    AllocPerCpu,
    FreePerCpu,
    WritePerCpu,
    StartProcess,
    Fork,
    Exit,
    Mmap,
    MmapFile,
    Munmap,
    Write,
    Read,
    Advise,
    Lock,
    WriteFile,
    ReadFile,
    SyncFiles,
    DropCaches,
    SwapOnOff,
    ResizeHugePages,
    SwitchHugePages,
    Sysctl,
    OfflineBlock,
    OnlineBlock,
    PlugIn,
    PullOut,
    SwitchCpu,
    Kmap,
    Compact,
    PassTime,
    Fail,
    DrainPages,
    ShrinkCache,
    Snapshot,
    Verify,

    /// <summary>Overwrites a page behind the model's back: for the test of the test.</summary>
    Spoil,
}

/// <summary>One step: what is done, and numbers from which is taken to what. What a number names depends on what is there, so that a run stays one when steps are left out.</summary>
internal readonly record struct Step(StepKind Kind, uint A, uint B, uint C)
{
    private static readonly (StepKind Kind, int Weight)[] Weights =
    [
        (StepKind.AllocPages, 160), (StepKind.FreePages, 150), (StepKind.CheckPages, 40), (StepKind.Kmalloc, 120), (StepKind.AllocObject, 160), (StepKind.FreeObject, 260),
        (StepKind.CreateCache, 4), (StepKind.DestroyCache, 4), (StepKind.Vmalloc, 25), (StepKind.Vfree, 24), (StepKind.AllocPerCpu, 10), (StepKind.FreePerCpu, 9), (StepKind.WritePerCpu, 20),
        (StepKind.StartProcess, 8), (StepKind.Fork, 8), (StepKind.Exit, 14), (StepKind.Mmap, 30), (StepKind.MmapFile, 8), (StepKind.Munmap, 20), (StepKind.Write, 260), (StepKind.Read, 200),
        (StepKind.Advise, 30), (StepKind.Lock, 8), (StepKind.WriteFile, 40), (StepKind.ReadFile, 40), (StepKind.SyncFiles, 2), (StepKind.DropCaches, 2), (StepKind.SwapOnOff, 2),
        (StepKind.ResizeHugePages, 3), (StepKind.SwitchHugePages, 3), (StepKind.Sysctl, 6), (StepKind.OfflineBlock, 3), (StepKind.OnlineBlock, 3), (StepKind.PlugIn, 1), (StepKind.PullOut, 1),
        (StepKind.SwitchCpu, 3), (StepKind.Kmap, 30), (StepKind.Compact, 1), (StepKind.PassTime, 6), (StepKind.Fail, 6), (StepKind.DrainPages, 3), (StepKind.ShrinkCache, 6), (StepKind.Snapshot, 0),
        (StepKind.Verify, 2),
    ];

    private static readonly int AllWeights = Weights.Sum(w => w.Weight);

    /// <summary>The steps of a seed; the same seed gives the same steps, a larger number of them only more.</summary>
    public static Step[] Of(ulong seed, int count)
    {
        ulong state = (seed * 0x9e37_79b9_7f4a_7c15) | 1;
        Step[] steps = new Step[count];
        for (int i = 0; i < count; i++)
        {
            int at = (int)(Next() % (ulong)AllWeights);
            int kind = 0;
            while (at >= Weights[kind].Weight)
            {
                at -= Weights[kind++].Weight;
            }

            // A snapshot and its machine cost as much as some thousand other steps.
            steps[i] = new Step(i % 2999 == 2998 ? StepKind.Snapshot : Weights[kind].Kind, (uint)(Next() >> 16), (uint)(Next() >> 16), (uint)(Next() >> 16));
        }

        return steps;

        ulong Next()
        {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            return state * 0x2545_f491_4f6c_dd1d;
        }
    }

    /// <summary>The step as <c>Write 17 3 99</c>.</summary>
    public override string ToString() => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{Kind} {A} {B} {C}");
}
