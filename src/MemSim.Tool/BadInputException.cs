namespace MemSim.Tool;

/// <summary>What the user gave cannot be used; the message is the whole line for standard error.</summary>
internal sealed class BadInputException(string message, Exception? inner = null) : Exception(message, inner);
