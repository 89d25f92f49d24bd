using MemSim.Diagnostics;
using Microsoft.Extensions.Logging;

namespace MemSim;

/// <content>Whom to tell what is wrong.</content>
public sealed partial class Machine
{
    private bool _disposed;

    internal BugReporter Bugs { get; }

    internal ILoggerFactory LoggerFactory { get; }

    internal bool IsDisposed => _disposed;

    internal void ThrowIfDisposed() => ObjectDisposedException.ThrowIf(_disposed, this);

    /// <summary>What the user's code throws when the kernel calls it, and whether it runs now.</summary>
    internal Callouts Callouts { get; }
}
