namespace MemSim.Observability;

/// <summary>The runs of <see cref="FaultInjection.Each"/>.</summary>
internal sealed class FaultLoop(Machine machine, Action action, FaultRule rule, int atMost)
{
    private readonly HashSet<(long Number, FaultPoints Point, int Order, string Cache, Gfp Gfp)> _failed = [];
    private AllocationMark _before = machine.Leaks.Mark();
    private int _runs;

    /// <summary>What failed, one a run.</summary>
    public List<InjectedFault> Faults { get; } = [];

    /// <summary>Runs until every request of a run without failures has failed at its place, or trying again brings nothing new.</summary>
    public void Run()
    {
        List<InjectedFault> requests = [];
        for (long n = 1; Fail(n, requests); n++)
        {
        }

        bool isNew = true;
        while (isNew)
        {
            isNew = false;
            foreach (InjectedFault request in requests.ToArray())
            {
                int known = _failed.Count;
                isNew |= !_failed.Contains(KeyOf(request)) && Fail(request.Number, []) && _failed.Count > known;
            }

            if (isNew)
            {
                requests.Clear();
                _ = Fail(long.MaxValue, requests);
            }
        }
    }

    /// <summary>One run in which a request fails.</summary>
    /// <param name="n">Which, from 1.</param>
    /// <param name="requests">Receives the run's requests when none failed.</param>
    /// <returns>Whether there were so many requests.</returns>
    private bool Fail(long n, List<InjectedFault> requests)
    {
        if (++_runs > atMost)
        {
            throw new FaultLoopException($"after {atMost} runs there was still an allocation left to fail: {(Faults.Count == 0 ? "the first" : Faults[^1])}");
        }

        ArmedFault armed = machine.FaultInjection.Arm(rule with { First = n, Times = 1 });
        armed.Requests = [];
        try
        {
            try
            {
                action();
            }
            finally
            {
                armed.Dispose();
            }

            machine.Verify();
            _before = machine.Leaks.AssertNoLeaksAndMark(_before);
        }
        catch (Exception e) when (e is not ObjectDisposedException)
        {
            throw new FaultLoopException(armed.Faults.Count != 0 ? armed.Faults[0] : null, e);
        }

        if (armed.Failed == 0)
        {
            requests.AddRange(armed.Requests);
            return false;
        }

        Faults.Add(armed.Faults[0]);
        _failed.Add(KeyOf(armed.Faults[0]));
        return true;
    }

    private static (long Number, FaultPoints Point, int Order, string Cache, Gfp Gfp) KeyOf(InjectedFault request) => (request.Number, request.Point, request.Order, request.Cache, request.Gfp);
}
