using MemSim.Diagnostics;

namespace MemSim;

/// <content>Whom to tell what is wrong.</content>
public sealed partial class Machine
{
    internal BugReporter Bugs { get; }

    internal bool IsDisposed { get; private set; }

    /// <summary>What the user's code throws when the kernel calls it, and whether it runs now.</summary>
    internal Callouts Callouts { get; }

    internal void ThrowIfDisposed() => ObjectDisposedException.ThrowIf(IsDisposed, this);
}
