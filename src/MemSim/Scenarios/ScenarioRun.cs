namespace MemSim.Scenarios;

/// <summary>Runs a scenario: gives processes their turns, one after the other, and counts.</summary>
internal sealed partial class ScenarioRun
{
    private const int MaxOomReports = 100;

    private readonly Scenario _scenario;
    private readonly Machine _machine;
    private readonly IProgress<long>? _progress;
    private readonly ScenarioSampler _sampler;
    private readonly List<ScenarioActor> _roots = [];
    private readonly List<ScenarioActor> _living = [];
    private readonly List<ScenarioSample> _samples = [];
    private readonly List<string> _oomReports = [];
    private readonly long _sampleEvery;
    private readonly int _turn;
    private string _phase = "";
    private long _touches;
    private long _nextSample;
    private ulong _streams;
    private int _nextCpu;
    private long _oomSaid;

    public ScenarioRun(Scenario scenario, IProgress<long>? progress)
    {
        _scenario = scenario;
        _machine = scenario.Machine;
        _progress = progress;
        _turn = scenario.TurnTouches;
        _sampleEvery = scenario.WantedSamples == 0 ? long.MaxValue : Math.Max(1, scenario.PlannedTouches() / scenario.WantedSamples);
        _nextSample = _sampleEvery;
        CheckFiles();
        CheckCgroups();
        _sampler = new ScenarioSampler(_machine);
        _oomSaid = _machine.Oom.Killer.Said;
    }

    public ScenarioReport Run()
    {
        try
        {
            MakeFiles();
            MakeCgroups();
            Sample();
            foreach (ScenarioPhase phase in _scenario.Phases)
            {
                _phase = phase.Name;
                RunPhase(phase);
            }

            return Finish();
        }
        catch
        {
            EndAll("stopped");
            DeleteFiles();
            RemoveCgroups();
            throw;
        }
    }

    private void RunPhase(ScenarioPhase phase)
    {
        foreach ((string name, ProcessPlan plan, int count) in phase.Processes)
        {
            for (int i = 0; i < count; i++)
            {
                Start(name, plan);
            }
        }

        while (TakeTurns())
        {
            _progress?.Report(_touches);
        }

        Sample();
    }

    private void Start(string name, ProcessPlan plan)
    {
        Result<Process> made = _machine.Processes.Create(name);
        if (!made.Succeeded)
        {
            throw new InvalidOperationException($"no memory to start process '{name}' ({made.Error})");
        }

        Process process = made.Value;
        process.OomScoreAdj = plan.ScoreAdj;
        if (plan.Cgroup.Length != 0)
        {
            process.Cgroup = _cgroups[plan.Cgroup];
        }

        Cpu cpu = plan.CpuId is { } id ? _machine.Cpus[id] : NextCpu();
        ScenarioActor actor = new(null, process, cpu, plan.Steps, _scenario.RandomSeed, _streams++);
        _roots.Add(actor);
        _living.Add(actor);
    }

    private Cpu NextCpu()
    {
        Cpu cpu = _machine.Cpus[_nextCpu++ % _machine.Cpus.Count];
        while (!cpu.IsOnline)
        {
            cpu = _machine.Cpus[_nextCpu++ % _machine.Cpus.Count];
        }

        return cpu;
    }

    /// <summary>One turn for everybody.</summary>
    /// <returns>Whether somebody has still something to do.</returns>
    private bool TakeTurns()
    {
        bool active = false;
        int count = _living.Count;
        for (int i = 0; i < count; i++)
        {
            ScenarioActor actor = _living[i];
            if (!actor.HasEnded && !actor.Stays)
            {
                active = true;
                Turn(actor);
                CollectOomReports();
            }
        }

        _living.RemoveAll(static a => a.HasEnded);
        if (_touches >= _nextSample)
        {
            Sample();
            _nextSample = _touches + _sampleEvery;
        }

        return active;
    }

    private void Turn(ScenarioActor actor)
    {
        if (actor.Process.State != ProcessState.Running)
        {
            // Killed while somebody else ran.
            End(actor, actor.Process.ExitStatus.Signal.ToString());
            return;
        }

        if (actor.StepIndex == actor.Steps.Count)
        {
            Exit(actor, new ExitStatus(0, Signal.None), "done");
            return;
        }

        try
        {
            using (actor.Cpu.Run(actor.Process))
            {
                Do(actor);
            }
        }
        catch (SignalException e)
        {
            Exit(actor, new ExitStatus(0, e.SignalInfo.Signal), e.SignalInfo.Signal.ToString());
        }
    }

    private void CollectOomReports()
    {
        if (_machine.Oom.Killer is var oom && oom.Said == _oomSaid)
        {
            return;
        }

        foreach (string report in oom.Reports.Skip((int)Math.Max(0, oom.Reports.Count - (oom.Said - _oomSaid))))
        {
            if (_oomReports.Count < MaxOomReports)
            {
                _oomReports.Add(report);
            }
        }

        _oomSaid = oom.Said;
    }

    private void Exit(ScenarioActor actor, ExitStatus status, string ended)
    {
        actor.Process.Exit(actor.Cpu, status);
        End(actor, ended);
    }

    /// <summary>The process is gone: what it counted goes to the root of its tree, its parent learns of it.</summary>
    private void End(ScenarioActor actor, string ended)
    {
        actor.HasEnded = true;
        actor.Ended = ended;
        CountFaults(actor);
        CloseFile(actor);
        FreeBlocks(actor);
        if (actor.Parent is { } parent)
        {
            parent.LivingChildren--;
            _ = parent.Process.Wait();
            actor.Tree.ChildrenKilled += ended == "done" ? 0 : 1;
        }
    }

    private static void CountFaults(ScenarioActor actor)
    {
        actor.Tree.MinorFaults += actor.Process.MinorFaults;
        actor.Tree.MajorFaults += actor.Process.MajorFaults;
    }

    private void EndAll(string ended)
    {
        foreach (ScenarioActor actor in _living)
        {
            if (!actor.HasEnded)
            {
                Exit(actor, new ExitStatus(0, Signal.None), actor.Stays ? "done" : ended);
            }
        }

        _living.Clear();
        foreach ((int pfn, int order) in _kept)
        {
            _machine.Cpus[0].FreePages(new Page(_machine, pfn), order);
        }

        _kept.Clear();
    }

    private void Sample()
    {
        int living = 0;
        foreach (ScenarioActor actor in _living)
        {
            living += actor.HasEnded || actor.Process.State != ProcessState.Running ? 0 : 1;
        }

        _samples.Add(_sampler.Take(_phase, _touches, living) with { Cgroups = SampleCgroups() });
    }

    private ScenarioReport Finish()
    {
        EndAll("done");
        _phase = "after";
        Sample();
        IReadOnlyList<ScenarioCgroup> cgroups = ReportCgroups();
        DeleteFiles();
        RemoveCgroups();
        return new ScenarioReport
        {
            Seed = _scenario.RandomSeed,
            Processes = [.. _roots.Select(static a => new ScenarioProcess
            {
                Name = a.Process.Name,
                Pid = a.Process.Pid,
                Children = a.Children,
                ChildrenKilled = a.ChildrenKilled,
                Touches = a.Touches,
                MinorFaults = a.MinorFaults,
                MajorFaults = a.MajorFaults,
                Failures = a.Failures,
                Ended = a.Ended,
            })],
            Faults = _faults.ToReport(),
            Samples = _samples,
            Cgroups = cgroups,
            OomReports = _oomReports,
        };
    }
}
