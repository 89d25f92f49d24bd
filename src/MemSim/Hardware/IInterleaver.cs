namespace MemSim.Hardware;

/// <summary>
/// Decides, in place of the host, which of a machine's parallel CPUs goes on: it makes all locks under which others are taken, and is told of the places between them at which CPUs meet. No
/// machine has one but those of tests that try interleavings one by one (<c>docs/reliability.md</c>).
/// </summary>
internal interface IInterleaver
{
    /// <summary>The lock that is taken in place of one of the machine's.</summary>
    /// <param name="name">The field, as the table of locks in <c>docs/architecture.md</c> names it.</param>
    IWatchedLock Watch(string name);

    /// <summary>The same for locks of which there may be any number, each made when it is first taken.</summary>
    /// <param name="name">The field.</param>
    /// <param name="which">Which of them.</param>
    IWatchedLock Watch(string name, ulong which);

    /// <summary>A CPU is about to look at, or to change, what another one may change without a lock of its own.</summary>
    /// <param name="place">Where.</param>
    void Pass(string place);
}

/// <summary>A lock of an <see cref="IInterleaver"/>. Who holds it may take it again.</summary>
internal interface IWatchedLock
{
    /// <summary>Whether somebody holds it.</summary>
    bool IsHeld { get; }

    /// <summary>Takes it, when it is free.</summary>
    void Enter();

    /// <summary>Takes it if it is free.</summary>
    /// <returns>Whether it was.</returns>
    bool TryEnter();

    /// <summary>Gives it back.</summary>
    void Exit();
}
