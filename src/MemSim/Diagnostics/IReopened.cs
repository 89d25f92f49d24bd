namespace MemSim.Diagnostics;

/// <summary>A part of a machine that has something of the host's, which a machine made of a snapshot gets anew.</summary>
internal interface IReopened
{
    /// <summary>All fields are as they were in the original.</summary>
    void Reopen();
}
