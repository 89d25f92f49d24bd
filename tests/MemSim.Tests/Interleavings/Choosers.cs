namespace MemSim.Tests.Interleavings;

/// <summary>Says which CPU goes on.</summary>
internal abstract class Chooser
{
    /// <param name="index">The number of the decision.</param>
    /// <param name="current">The CPU that runs and could go on; -1 when it cannot.</param>
    /// <param name="able">The CPUs that could run, as bits.</param>
    /// <param name="usual">Who goes on when nothing else is wanted.</param>
    public abstract int Choose(int index, int current, int able, int usual);
}

/// <summary>Goes on as usual but for what a schedule says.</summary>
internal sealed class Following(IReadOnlyList<Deviation> schedule) : Chooser
{
    private int _next;

    public override int Choose(int index, int current, int able, int usual)
    {
        if (_next == schedule.Count || schedule[_next].At != index)
        {
            return usual;
        }

        int wanted = schedule[_next++].Cpu;
        return (able >> wanted & 1) != 0 ? wanted : throw new InvalidOperationException($"the schedule wants CPU {wanted} at {index}, which cannot run: the scenario is not the same each time");
    }
}

/// <summary>
/// Priorities, drawn by a seed, of which some are lowered at places drawn as well (probabilistic concurrency testing): a fault that needs so many changes is found with a known probability.
/// </summary>
internal sealed class Prioritized : Chooser
{
    private readonly int[] _priorities;
    private readonly int[] _changes;

    public Prioritized(int seed, int cpus, int changes, int places)
    {
        Random random = new(seed);
        _priorities = [.. Enumerable.Range(0, cpus).Select(i => changes + i)];
        random.Shuffle(_priorities);
        _changes = [.. Enumerable.Range(0, changes).Select(_ => random.Next(Math.Max(places, 1)))];
    }

    public override int Choose(int index, int current, int able, int usual)
    {
        for (int i = 0; i < _changes.Length; i++)
        {
            if (_changes[i] == index && current >= 0)
            {
                _priorities[current] = i;
            }
        }

        int best = usual;
        for (int cpu = 0; cpu < _priorities.Length; cpu++)
        {
            if ((able >> cpu & 1) != 0 && _priorities[cpu] > _priorities[best])
            {
                best = cpu;
            }
        }

        return best;
    }
}
