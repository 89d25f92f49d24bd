using System.Globalization;

namespace MemSim.Tests.Interleavings;

/// <summary>Runs a scenario under many schedules, each on a machine of its own, until one fails.</summary>
internal sealed class Exploration : IDisposable
{
    private const int ChangesOfPriority = 3;
    private const int TrailLength = 60;

    private readonly CpuThreads _threads = new(TimeSpan.FromMinutes(1));
    private readonly Scenario _scenario;
    private readonly IReadOnlySet<string> _removed;

    public Exploration(Scenario scenario, params string[] removed)
    {
        _scenario = scenario;
        _removed = removed.ToHashSet();
    }

    /// <summary>Schedules that ran.</summary>
    public long Schedules { get; private set; }

    /// <summary>Choices of the run without deviations.</summary>
    public int Places { get; private set; }

    /// <summary>Locks that CPUs took in any of the runs.</summary>
    public HashSet<string> Taken { get; } = [];

    /// <summary>The first schedule that failed, with what went wrong; null while there was none.</summary>
    public string? Failure { get; private set; }

    /// <summary>The schedule of it, to be run again.</summary>
    public IReadOnlyList<Deviation> FailedSchedule { get; private set; } = [];

    /// <summary>Every schedule with at most so many preemptions. In which order is drawn, always the same way, so that the first of them are not all alike.</summary>
    /// <param name="preemptions">How often a CPU that could go on may be stopped.</param>
    /// <param name="most">The most schedules to run.</param>
    /// <returns>Whether all of them were run.</returns>
    public bool Systematic(int preemptions, long most)
    {
        long end = Schedules + most;
        Random random = new(preemptions);
        List<(IReadOnlyList<Deviation> Schedule, int Preemptions)> left = [([], 0)];
        while (left.Count != 0)
        {
            int drawn = random.Next(left.Count);
            (IReadOnlyList<Deviation> Schedule, int Preemptions) next = left[drawn];
            left[drawn] = left[^1];
            left.RemoveAt(left.Count - 1);
            if (Failure is not null || Schedules >= end)
            {
                return false;
            }

            IReadOnlyList<Decision> decisions = Run(next.Schedule, new Following(next.Schedule));
            if (next.Schedule.Count == 0)
            {
                Places = decisions.Count;
            }

            for (int at = next.Schedule.Count == 0 ? 0 : next.Schedule[^1].At + 1; at < decisions.Count; at++)
            {
                Decision decision = decisions[at];
                int preempted = next.Preemptions + (decision.Current >= 0 ? 1 : 0);
                for (int cpu = 0; decision.Able >> cpu != 0; cpu++)
                {
                    if (cpu != decision.Usual && (decision.Able >> cpu & 1) != 0 && preempted <= preemptions)
                    {
                        left.Add(([.. next.Schedule, new Deviation(at, cpu)], preempted));
                    }
                }
            }
        }

        return Failure is null;
    }

    /// <summary>Schedules drawn by seeds that follow each other.</summary>
    public void Drawn(int firstSeed, int count)
    {
        if (Places == 0)
        {
            Places = Run([], new Following([])).Count;
        }

        for (int seed = firstSeed; seed < firstSeed + count && Failure is null; seed++)
        {
            // A run that is disturbed meets more choices than one that is not.
            _ = Run(null, new Prioritized(seed, _scenario.Cpus, ChangesOfPriority, Places * 2));
        }
    }

    /// <summary>Runs one schedule again.</summary>
    public IReadOnlyList<Decision> Replay(IReadOnlyList<Deviation> schedule) => Run(schedule, new Following(schedule));

    public void Dispose() => _threads.Dispose();

    private IReadOnlyList<Decision> Run(IReadOnlyList<Deviation>? schedule, Chooser chooser)
    {
        Schedules++;
        CpuScheduler scheduler = new(_threads, _removed);
        Exception? failure = null;
        Stage stage = _scenario.Make(scheduler);
        try
        {
            scheduler.Run(stage.Cpus, chooser);
            failure = scheduler.Failure;
        }
        catch (TimeoutException e)
        {
            // Its threads still use the machine.
            Fail(schedule, scheduler, e);
            return scheduler.Decisions;
        }

        if (failure is null)
        {
            try
            {
                stage.Check();
                stage.Machine.Verify();
            }
            catch (Exception e)
            {
                failure = e;
            }
        }

        stage.Dispose();
        Taken.UnionWith(scheduler.Taken);
        if (failure is not null)
        {
            Fail(schedule, scheduler, failure);
        }

        return scheduler.Decisions;
    }

    private void Fail(IReadOnlyList<Deviation>? schedule, CpuScheduler scheduler, Exception failure)
    {
        if (Failure is null)
        {
            FailedSchedule = schedule ?? Schedule.Of(scheduler.Decisions);
            Failure = string.Create(CultureInfo.InvariantCulture, $"{_scenario.Name}, schedule {Schedules}: MEMSIM_SCHEDULE='{Schedule.ToText(FailedSchedule)}'\n{failure}\nthe last places:\n{scheduler.Trail(TrailLength)}");
        }
    }
}
