namespace MemSim.Scenarios;

/// <summary>Processes that run side by side.</summary>
internal sealed class ScenarioPhase(string name)
{
    public string Name { get; set; } = name;

    public List<(string Name, ProcessPlan Plan, int Count)> Processes { get; } = [];
}

/// <summary>How long a scenario will be.</summary>
internal static class ScenarioSize
{
    /// <summary>Touches, chunks and blocks of a process and its children, when nothing is refused and nobody is killed.</summary>
    public static long Touches(IReadOnlyList<ScenarioStep> steps, IReadOnlyDictionary<string, long> files)
    {
        long total = 0;
        Stack<long> regions = [];
        ScenarioStep? pattern = null;
        foreach (ScenarioStep step in steps)
        {
            switch (step.Kind)
            {
                case StepKind.Anonymous or StepKind.SharedMemory or StepKind.Stack:
                    regions.Push(step.Pages);
                    break;
                case StepKind.MapFile:
                    regions.Push(files.GetValueOrDefault(step.Name));
                    break;
                case StepKind.Unmap:
                    _ = regions.TryPop(out _);
                    break;
                case StepKind.Touch:
                    pattern = step;
                    total += step.Touches(Top(regions));
                    break;
                case StepKind.ReadFile or StepKind.WriteFile:
                    total += Chunks(files.GetValueOrDefault(step.Name), step.Pages) * step.Count;
                    break;
                case StepKind.Fork:
                    total += (Children(step) * (pattern?.Touches(Top(regions)) ?? 0)) + Children(step);
                    break;
                case StepKind.KernelPages or StepKind.TryBlocks:
                    total += step.Count;
                    break;
                default:
                    break;
            }
        }

        return total;
    }

    public static long Chunks(long filePages, long chunkPages) => (filePages + chunkPages - 1) / chunkPages;

    private static long Top(Stack<long> regions) => regions.TryPeek(out long pages) ? pages : 0;

    /// <summary>Processes of a fork tree, without its root.</summary>
    public static long Children(ScenarioStep step)
    {
        long children = 0;
        long generation = 1;
        for (int depth = 0; depth < step.Depth; depth++)
        {
            generation = Math.Min(generation * step.FanOut, int.MaxValue);
            children += generation;
        }

        return children;
    }
}
