namespace MemSim.Tests.Interleavings;

/// <summary>Host threads of which one runs at a time: each hands over to the next.</summary>
/// <param name="patience">How long a run may take. One that takes longer waits for a lock of the host, which the scheduler does not know of, or goes round between two places for ever.</param>
internal sealed class CpuThreads(TimeSpan patience) : IDisposable
{
    private readonly SemaphoreSlim _ended = new(0);
    private readonly List<SemaphoreSlim> _turns = [];
    private Action<int>? _drive;
    private bool _isOver;

    /// <summary>Runs a body on each of some threads, beginning with one; returns when all have left.</summary>
    public void Run(int count, Action<int> drive, int first)
    {
        _drive = drive;
        while (_turns.Count < count)
        {
            int cpu = _turns.Count;
            _turns.Add(new SemaphoreSlim(0));
            new Thread(() => Serve(cpu)) { IsBackground = true, Name = $"CPU {cpu}" }.Start();
        }

        _turns[first].Release();
        if (!_ended.Wait(patience))
        {
            throw new TimeoutException("a CPU reaches no place any more: it waits for a lock that the scheduler does not know, or does not end");
        }
    }

    /// <summary>Hands over, and waits for the next turn.</summary>
    public void GoOn(int next, int me)
    {
        _turns[next].Release();
        _turns[me].Wait();
    }

    /// <summary>Hands over for good; to whoever waits for the end if nobody is left.</summary>
    public void Leave(int next) => (next < 0 ? _ended : _turns[next]).Release();

    public void Dispose()
    {
        _isOver = true;
        _turns.ForEach(turn => turn.Release());
    }

    private void Serve(int cpu)
    {
        while (true)
        {
            _turns[cpu].Wait();
            if (_isOver)
            {
                return;
            }

            _drive!(cpu);
        }
    }
}
