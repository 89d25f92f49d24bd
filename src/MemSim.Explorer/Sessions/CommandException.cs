namespace MemSim.Explorer.Sessions;

/// <summary>What somebody typed cannot be done; the message says what can.</summary>
public sealed class CommandException : Exception
{
    /// <summary>Says what is wrong and what to do.</summary>
    public CommandException(string message)
        : base(message)
    {
    }

    /// <summary>Says what is wrong and what to do, and what told us so.</summary>
    public CommandException(string message, Exception inner)
        : base(message, inner)
    {
    }

    private CommandException()
    {
    }
}
