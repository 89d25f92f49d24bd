using System.Globalization;
using MemSim.Hardware;

namespace MemSim.Tests.Interleavings;

/// <summary>
/// Lets the host threads of a machine's CPUs run one at a time, and asks at every lock and every other place where CPUs meet which of them goes on. The same answers give the same run.
/// </summary>
/// <remarks>
/// Between two such places a CPU runs undisturbed: an error that needs another CPU in the midst of a stretch without any is not found, nor is one of the order in which memory becomes visible.
/// </remarks>
internal sealed class CpuScheduler : IInterleaver
{
    /// <summary>Places after which a run counts as one that does not end.</summary>
    private const int MostPlaces = 50_000;

    private readonly CpuThreads _threads;
    private readonly IReadOnlySet<string> _removed;
    private readonly Dictionary<(string Name, ulong Which), WatchedLock> _locks = [];
    private readonly List<Decision> _decisions = [];
    private readonly List<(int Cpu, string What, string Where)> _places = [];
    private Chooser _chooser = new Following([]);
    private Runner[] _runners = [];
    private Runner? _running;
    private bool _isAbandoned;

    /// <param name="threads">The host threads to use.</param>
    /// <param name="removed">Locks that exclude nobody, by name: what they guard is open to every CPU.</param>
    public CpuScheduler(CpuThreads threads, IReadOnlySet<string>? removed = null)
    {
        _threads = threads;
        _removed = removed ?? new HashSet<string>();
    }

    /// <summary>Every choice that was there, in order.</summary>
    public IReadOnlyList<Decision> Decisions => _decisions;

    /// <summary>What went wrong; null while nothing has.</summary>
    public Exception? Failure { get; private set; }

    /// <summary>Names of locks that were taken by CPUs that ran.</summary>
    public HashSet<string> Taken { get; } = [];

    public IWatchedLock Watch(string name) => new WatchedLock(this, name, !_removed.Contains(name));

    public IWatchedLock Watch(string name, ulong which)
    {
        if (!_locks.TryGetValue((name, which), out WatchedLock? made))
        {
            _locks[(name, which)] = made = new WatchedLock(this, name, !_removed.Contains(name));
        }

        return made;
    }

    public void Pass(string place) => Reach("at", place);

    /// <summary>Runs one body for each CPU to the end, or until something goes wrong.</summary>
    public void Run(IReadOnlyList<Action> bodies, Chooser chooser)
    {
        _chooser = chooser;
        _runners = [.. bodies.Select((body, cpu) => new Runner(cpu, body))];
        _decisions.Clear();
        _places.Clear();
        _threads.Run(_runners.Length, cpu => Drive(_runners[cpu]), first: Pick());
        _running = null;
    }

    /// <summary>The last places reached, with the changes from one CPU to another.</summary>
    public string Trail(int most)
    {
        IEnumerable<string> lines = _places.Skip(Math.Max(0, _places.Count - most)).Select(p => string.Create(CultureInfo.InvariantCulture, $"  CPU {p.Cpu} {p.What} {p.Where}"));
        return string.Join('\n', lines);
    }

    private void Drive(Runner me)
    {
        _running = me;
        try
        {
            if (!_isAbandoned)
            {
                me.Body();
            }
        }
        catch (AbandonedException)
        {
        }
        catch (Exception e)
        {
            Fail(e);
        }

        me.IsDone = true;
        int next = Pick();
        _running = next < 0 ? null : _runners[next];
        _threads.Leave(next);
    }

    private void Fail(Exception e)
    {
        Failure ??= e;
        _isAbandoned = true;
    }

    /// <summary>Who goes on when a CPU cannot, or has not begun: -1 when all are done.</summary>
    private int Pick()
    {
        int able = Able();
        if (able == 0)
        {
            int left = Array.FindIndex(_runners, r => !r.IsDone);
            if (left < 0)
            {
                return -1;
            }

            if (!_isAbandoned)
            {
                Fail(new DeadlockException(string.Join(", ", _runners.Where(r => !r.IsDone).Select(r => $"CPU {r.Cpu} waits for {r.WaitsFor!.Name}, which {r.WaitsFor.HolderText} has"))));
            }

            return left;
        }

        return Choose(current: -1, able);
    }

    /// <summary>The CPUs that could run, as bits; when a run is abandoned, all that have to come to an end.</summary>
    private int Able()
    {
        int able = 0;
        foreach (Runner runner in _runners)
        {
            able |= !runner.IsDone && (runner.WaitsFor is null || _isAbandoned) ? 1 << runner.Cpu : 0;
        }

        return able;
    }

    private int Choose(int current, int able)
    {
        int usual = current >= 0 ? current : System.Numerics.BitOperations.TrailingZeroCount(able);
        if (_isAbandoned || (able & (able - 1)) == 0)
        {
            return usual;
        }

        int chosen = _chooser.Choose(_decisions.Count, current, able, usual);
        _decisions.Add(new Decision(current, able, usual, chosen));
        return chosen;
    }

    private void Reach(string what, string where)
    {
        if (_running is not { } me)
        {
            return;
        }

        ThrowIfAbandoned();
        _places.Add((me.Cpu, what, where));
        if (_places.Count > MostPlaces)
        {
            Fail(new DeadlockException($"no end after {MostPlaces} places"));
            ThrowIfAbandoned();
        }

        SwitchTo(me, Choose(me.Cpu, Able()));
    }

    private void SwitchTo(Runner me, int next)
    {
        if (next == me.Cpu)
        {
            return;
        }

        _running = _runners[next];
        _threads.GoOn(next, me.Cpu);
        _running = me;
        ThrowIfAbandoned();
    }

    private void ThrowIfAbandoned()
    {
        if (_isAbandoned)
        {
            throw new AbandonedException();
        }
    }

    private void WaitFor(Runner me, WatchedLock wanted)
    {
        me.WaitsFor = wanted;
        _places.Add((me.Cpu, "waits for", wanted.Name));
        SwitchTo(me, Pick());
        me.WaitsFor = null;
        ThrowIfAbandoned();
    }

    private void WakeWaiters(WatchedLock given)
    {
        foreach (Runner runner in _runners)
        {
            if (ReferenceEquals(runner.WaitsFor, given))
            {
                runner.WaitsFor = null;
            }
        }
    }

    private sealed class Runner(int cpu, Action body)
    {
        public int Cpu => cpu;

        public Action Body => body;

        public bool IsDone { get; set; }

        public WatchedLock? WaitsFor { get; set; }
    }

    private sealed class WatchedLock(CpuScheduler scheduler, string name, bool excludes) : IWatchedLock
    {
        private static readonly object Nobody = new();
        private object? _holder;
        private int _depth;

        public string Name => name;

        /// <summary>One that excludes nobody is held by all who took it and have not given it back.</summary>
        public bool IsHeld => excludes ? _holder is not null : _depth > 0;

        public string HolderText => _holder is Runner runner ? $"CPU {runner.Cpu}" : "nobody that runs";

        private object Me => scheduler._running ?? Nobody;

        public void Enter()
        {
            scheduler.Reach("takes", name);
            if (!excludes)
            {
                _depth++;
                return;
            }

            object me = Me;
            while (_holder is not null && !ReferenceEquals(_holder, me) && !scheduler._isAbandoned)
            {
                scheduler.WaitFor(me as Runner ?? throw new DeadlockException($"{name} is held by {HolderText} when nobody runs"), this);
            }

            Take(me);
        }

        public bool TryEnter()
        {
            scheduler.Reach("tries", name);
            object me = Me;
            if (excludes && _holder is not null && !ReferenceEquals(_holder, me))
            {
                return false;
            }

            if (excludes)
            {
                Take(me);
            }
            else
            {
                _depth++;
            }

            return true;
        }

        public void Exit()
        {
            if (excludes)
            {
                if (!ReferenceEquals(_holder, Me) && !scheduler._isAbandoned)
                {
                    throw new InvalidOperationException($"{name} is given back by one who does not have it; {HolderText} has");
                }

                if (--_depth <= 0)
                {
                    _holder = null;
                    scheduler.WakeWaiters(this);
                }
            }
            else
            {
                _depth--;
            }

            // Who unwinds gives back what it has, and meets nobody.
            if (!scheduler._isAbandoned)
            {
                scheduler.Reach("gives back", name);
            }
        }

        private void Take(object me)
        {
            if (scheduler._running is not null)
            {
                scheduler.Taken.Add(name);
            }

            _holder = me;
            _depth++;
        }
    }
}

/// <summary>A choice between CPUs.</summary>
/// <param name="Current">The CPU that was running and could go on; -1 when it waits or has ended.</param>
/// <param name="Able">The CPUs that could run, as bits.</param>
/// <param name="Usual">Who goes on when nothing is said: the one that ran, else the first.</param>
/// <param name="Chosen">Who went on.</param>
internal readonly record struct Decision(int Current, int Able, int Usual, int Chosen);

/// <summary>The CPU is to end, because its run has failed elsewhere.</summary>
internal sealed class AbandonedException : Exception;

/// <summary>No CPU can go on, or all go on for ever.</summary>
internal sealed class DeadlockException(string message) : Exception(message);
