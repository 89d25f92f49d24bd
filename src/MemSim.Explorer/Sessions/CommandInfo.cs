namespace MemSim.Explorer.Sessions;

/// <summary>A command: what one types, and what it does to the machine.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Usage">How it is written.</param>
/// <param name="Help">What it does, in a sentence.</param>
/// <param name="Run">Does it and says what came of it.</param>
public sealed record CommandInfo(string Name, string Usage, string Help, Func<Session, CommandArguments, string> Run);
