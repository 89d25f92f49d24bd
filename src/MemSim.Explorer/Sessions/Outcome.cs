namespace MemSim.Explorer.Sessions;

/// <summary>What came of a command.</summary>
/// <param name="Command">The command.</param>
/// <param name="Text">What happened, in a line or more.</param>
/// <param name="Kind">Whether it went as asked.</param>
public sealed record Outcome(string Command, string Text, OutcomeKind Kind)
{
    /// <summary>Whether the machine saw the command: what was mistyped is not part of the script.</summary>
    public bool IsDone => Kind != OutcomeKind.NotUnderstood;
}

/// <summary>How a command went.</summary>
public enum OutcomeKind
{
    /// <summary>It was done; a failed allocation is a result too.</summary>
    Done,

    /// <summary>The kernel would have oopsed.</summary>
    KernelBug,

    /// <summary>It was not understood; nothing happened.</summary>
    NotUnderstood,
}
