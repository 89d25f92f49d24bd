using MemSim.Explorer.Pictures;

namespace MemSim.Explorer.Sessions;

/// <summary>A machine, and the script of commands that brought it where it is. The same choice and script always come to the same machine.</summary>
public sealed class Session : IDisposable
{
    /// <summary>What is done in less than this many tracepoints is done again as quickly as a snapshot is booted.</summary>
    private const long CheckpointEvery = 20_000;

    private const int MostCheckpoints = 4;

    private readonly List<Outcome> _done = [];
    private readonly List<string> _ahead = [];
    private readonly Dictionary<string, Held> _held = new(StringComparer.Ordinal);
    private readonly List<Checkpoint> _checkpoints = [];
    private readonly long _checkpointEvery;
    private long _checkpointAt;

    /// <summary>Boots the machine.</summary>
    /// <param name="choice">Which one.</param>
    /// <param name="checkpointEvery">After how many tracepoints a moment is remembered to go back to.</param>
    /// <exception cref="CommandException">Such a machine cannot be.</exception>
    public Session(MachineChoice choice, long checkpointEvery = CheckpointEvery)
    {
        ArgumentNullException.ThrowIfNull(choice);
        Choice = choice;
        _checkpointEvery = checkpointEvery;
        Boot(null);
    }

    /// <summary>Which machine it is.</summary>
    public MachineChoice Choice { get; }

    /// <summary>The machine as it is now.</summary>
    public Machine Machine { get; private set; } = null!;

    /// <summary>What the machine's tracepoints said.</summary>
    public Recorder Events { get; private set; } = null!;

    /// <summary>The machine's frames for the picture.</summary>
    public MapEncoder Map { get; private set; } = null!;

    /// <summary>What was done, in order.</summary>
    public IReadOnlyList<Outcome> Done => _done;

    /// <summary>What was taken back and can be done again, next first.</summary>
    public IReadOnlyList<string> Ahead => _ahead;

    /// <summary>What the session holds, by name.</summary>
    public IReadOnlyDictionary<string, Held> Held => _held;

    /// <summary>The script so far.</summary>
    public IEnumerable<string> Script => _done.Select(o => o.Command);

    /// <summary>What random workloads draw from: starts from the seed.</summary>
    public SeededRandom Random { get; private set; } = null!;

    /// <summary>The CPU that commands run on unless they say otherwise.</summary>
    public Cpu Cpu => Machine.Cpus[0];

    /// <summary>Changes whenever the machine did.</summary>
    public int Version { get; private set; }

    /// <summary>Whether the machine was booted from a snapshot of itself.</summary>
    public bool IsFromSnapshot { get; private set; }

    /// <summary>Runs a command; what could be done again before is forgotten.</summary>
    public Outcome Run(string command)
    {
        Outcome outcome = Execute(command);
        if (outcome.IsDone)
        {
            _ahead.Clear();
        }

        return outcome;
    }

    /// <summary>Puts commands in front of those that can be done again: what a link's script holds.</summary>
    public void Prepare(IEnumerable<string> commands) => _ahead.AddRange(commands);

    /// <summary>Does what comes next.</summary>
    /// <returns>What came of it; null when nothing is left.</returns>
    public Outcome? Forward()
    {
        if (_ahead.Count == 0)
        {
            return null;
        }

        string next = _ahead[0];
        _ahead.RemoveAt(0);
        return Execute(next);
    }

    /// <summary>Takes the last command back: the machine is booted again, or a snapshot of it, and goes to where it was before.</summary>
    /// <returns>Whether there was one.</returns>
    public bool Back()
    {
        if (_done.Count == 0)
        {
            return false;
        }

        GoTo(_done.Count - 1);
        return true;
    }

    /// <summary>Goes to the moment after so many commands, back or forward.</summary>
    public void GoTo(int count)
    {
        if (count < _done.Count)
        {
            string[] all = [.. Script, .. _ahead];
            _checkpoints.RemoveAll(c => c.Count > count);
            Checkpoint? near = _checkpoints.LastOrDefault();
            Boot(near);
            _ahead.AddRange(all.Skip(near?.Count ?? 0));
        }

        while (_done.Count < count && Forward() is not null)
        {
            // Each step leaves one less ahead.
        }
    }

    /// <summary>Gives a thing a name.</summary>
    /// <exception cref="CommandException">The name is taken.</exception>
    internal void Hold(Held thing)
    {
        if (!_held.TryAdd(thing.Name, thing))
        {
            throw new CommandException($"'{thing.Name}' is the name of {_held[thing.Name].Text}; take another one after 'as'");
        }
    }

    /// <summary>A name nobody has: the prefix and a number.</summary>
    internal string FreshName(string prefix)
    {
        int number = 1;
        while (_held.ContainsKey(prefix + number))
        {
            number++;
        }

        return prefix + number;
    }

    /// <summary>Checks that a name asked for is free before anything happens to the machine.</summary>
    internal string NameFor(CommandArguments arguments, string prefix)
    {
        string name = arguments.Name ?? FreshName(prefix);
        return _held.TryGetValue(name, out Held? other) ? throw new CommandException($"'{name}' is the name of {other.Text}; take another one after 'as'") : name;
    }

    /// <summary>What has a name.</summary>
    /// <exception cref="CommandException">Nothing of the kind has it; the message says what there is.</exception>
    internal T Find<T>(string name)
        where T : Held
    {
        if (_held.TryGetValue(name, out Held? thing) && thing is T found)
        {
            return found;
        }

        string[] names = [.. _held.Values.OfType<T>().Select(h => h.Name)];
        throw new CommandException(names.Length > 0 ? $"'{name}' is nothing this command can use; {string.Join(", ", names.Take(8))} can" : $"'{name}' is nothing this command can use, and there is nothing yet that could: see the list of commands");
    }

    /// <summary>Forgets a name.</summary>
    internal void Release(string name) => _held.Remove(name);

    /// <inheritdoc/>
    public void Dispose() => Machine.Dispose();

    private Outcome Execute(string command)
    {
        Outcome outcome;
        try
        {
            outcome = new Outcome(command, CommandTable.Run(this, command), OutcomeKind.Done);
        }
        catch (CommandException e)
        {
            return new Outcome(command, e.Message, OutcomeKind.NotUnderstood);
        }
        catch (KernelBugException e)
        {
            outcome = new Outcome(command, e.Message.Split('\n')[0].Trim(), OutcomeKind.KernelBug);
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException or SignalException or PageFaultException)
        {
            outcome = new Outcome(command, e.Message.Split('\n')[0].Trim(), OutcomeKind.KernelBug);
        }

        _done.Add(outcome);
        Events.Sample(Machine);
        Version++;
        Remember();
        return outcome;
    }

    // What a long script did is not done again when the reader goes back a step.
    private void Remember()
    {
        if (Events.Count - _checkpointAt < _checkpointEvery)
        {
            return;
        }

        _checkpointAt = Events.Count;
        if (Checkpoint.Of(this) is { } checkpoint)
        {
            _checkpoints.Add(checkpoint);
            if (_checkpoints.Count > MostCheckpoints)
            {
                _checkpoints.RemoveAt(0);
            }
        }
    }

    private void Boot(Checkpoint? from)
    {
        Machine? before = Machine;
        _held.Clear();
        _done.Clear();
        _ahead.Clear();
        Random = from?.Random ?? new SeededRandom(Choice.Seed);
        before?.Dispose();
        try
        {
            Machine = from?.Boot() ?? Machine.Boot(Choice.ToSpec());
        }
        catch (ArgumentException e)
        {
            throw new CommandException(e.Message, e);
        }

        Events = new Recorder(Machine, from?.Memory);
        Map = new MapEncoder(Machine, Events);
        if (from is null)
        {
            Events.Sample(Machine);
        }
        else
        {
            _done.AddRange(from.Done);
            foreach (Held held in from.HeldIn(Machine))
            {
                _held.Add(held.Name, held);
            }
        }

        IsFromSnapshot = from is not null;
        _checkpointAt = Events.Count;
        Version++;
    }
}
