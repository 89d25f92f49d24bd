namespace MemSim;

/// <content>Whose rules the machine follows.</content>
public sealed partial class Machine
{
    /// <summary>What the user must know about the machine's rules, e.g. that its kernel was never recorded and follows those of another; empty where there is nothing to say.</summary>
    public IReadOnlyList<string> Warnings { get; }
}
