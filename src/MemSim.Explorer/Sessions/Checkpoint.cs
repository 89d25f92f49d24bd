using MemSim.Explorer.Pictures;

namespace MemSim.Explorer.Sessions;

/// <summary>A moment of a session to go back to without running its whole script again: a snapshot of the machine, and what the session knew.</summary>
/// <remarks>Only moments that a snapshot holds whole: a machine with processes, files or areas of the kernel goes back through its script.</remarks>
internal sealed class Checkpoint
{
    private static readonly HashSet<string> s_carried = new(StringComparer.Ordinal) { "alloc", "free", "take", "drain", "churn", "explain", "verify", "kmalloc", "kfree", "cache", "object", "shrink" };

    private readonly MachineSnapshot _snapshot;
    private readonly Recorder _events;
    private readonly Outcome[] _done;
    private readonly Held[] _held;
    private readonly ulong _random;

    private Checkpoint(Session session, MachineSnapshot snapshot)
    {
        _snapshot = snapshot;
        _events = session.Events;
        _done = [.. session.Done];
        _held = [.. session.Held.Values];
        _random = session.Random.State;
        Memory = _events.Remember();
    }

    /// <summary>How many commands were done.</summary>
    public int Count => _done.Length;

    /// <summary>What was done.</summary>
    public IReadOnlyList<Outcome> Done => _done;

    /// <summary>Where random workloads were.</summary>
    public SeededRandom Random => new(0) { State = _random };

    /// <summary>What the recorder knew.</summary>
    public RecorderMemory Memory { get; }

    /// <summary>Remembers a session as it is now.</summary>
    /// <returns>The moment; null where a snapshot would not hold all of it.</returns>
    public static Checkpoint? Of(Session session)
    {
        if (session.Choice.Cma.Length > 0 || !session.Done.All(o => IsCarried(o.Command)))
        {
            return null;
        }

        MachineSnapshot snapshot = session.Machine.Snapshot();
        return snapshot.NotCarried.Count == 0 ? new Checkpoint(session, snapshot) : null;
    }

    /// <summary>A machine that goes on from here.</summary>
    public Machine Boot() => _snapshot.Boot();

    /// <summary>What the session held, in that machine.</summary>
    public IEnumerable<Held> HeldIn(Machine machine) =>
        _held.Select(h => h is HeldObjects { Cache: { } cache } objects ? objects with { Cache = machine.Slab.Find(cache.Name) } : h);

    private static bool IsCarried(string command)
    {
        int end = command.IndexOf(' ', StringComparison.Ordinal);
        return s_carried.Contains(end < 0 ? command : command[..end]);
    }
}
