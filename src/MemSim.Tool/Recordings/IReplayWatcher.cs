namespace MemSim.Tool.Recordings;

/// <summary>Looks at a machine while something is replayed on it.</summary>
internal interface IReplayWatcher
{
    /// <summary>Operations between two looks; null for as often as the replay says how far it is.</summary>
    int? Every { get; }

    /// <summary>Looks at the machine before the first operation.</summary>
    void Before(Machine machine);

    /// <summary>Looks at the machine in the middle of the replay.</summary>
    void During(Machine machine, long operations);

    /// <summary>Looks at the machine at the end.</summary>
    void After(Machine machine);
}
