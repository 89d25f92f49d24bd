using MemSim.Explorer.Sessions.Commands;

namespace MemSim.Explorer.Sessions;

/// <summary>All commands by name.</summary>
public static class CommandTable
{
    private static readonly Dictionary<string, CommandInfo> s_commands = All.ToDictionary(c => c.Name, StringComparer.Ordinal);

    /// <summary>The commands, in the order in which they are explained.</summary>
    public static IReadOnlyList<CommandInfo> All => [.. PageCommands.All, .. SlabCommands.All, .. KernelMemoryCommands.All, .. ProcessCommands.All, .. PolicyCommands.All];

    /// <summary>Runs a line.</summary>
    /// <exception cref="CommandException">It says nothing that can be done.</exception>
    public static string Run(Session session, string line)
    {
        ArgumentNullException.ThrowIfNull(session);
        ArgumentNullException.ThrowIfNull(line);
        string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        if (words.Length == 0)
        {
            throw new CommandException("type a command, for instance: alloc 3");
        }

        if (!s_commands.TryGetValue(words[0], out CommandInfo? command))
        {
            string? near = s_commands.Keys.FirstOrDefault(k => k.StartsWith(words[0], StringComparison.Ordinal));
            throw new CommandException($"'{words[0]}' is no command{(near is null ? string.Empty : $"; did you mean {near}")}: {string.Join(", ", s_commands.Keys)}");
        }

        return command.Run(session, new CommandArguments(words[1..], command.Usage));
    }
}
