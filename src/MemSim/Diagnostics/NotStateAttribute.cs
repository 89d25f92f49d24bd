namespace MemSim.Diagnostics;

/// <summary>A field that is not part of a machine's state: it is about the host, or is found again by itself. A machine booted of a snapshot has it as a new object does: zero or null.</summary>
[AttributeUsage(AttributeTargets.Field)]
internal sealed class NotStateAttribute(string reason) : Attribute
{
    /// <summary>Why.</summary>
    public string Reason { get; } = reason;
}
