using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.Logging;

namespace MemSim.Diagnostics;

/// <summary>Tells misuse from failure: logs what is wrong, keeps it in mind, and by policy throws. What is checked about pages is in the page allocator's part.</summary>
internal sealed partial class BugReporter
{
    private readonly Machine _machine;
    private readonly ILogger _logger;
    private readonly BugPolicy _policy;

    public BugReporter(Machine machine, ILoggerFactory loggers, ILogger logger, BugPolicy policy)
    {
        _machine = machine;
        LoggerFactory = loggers;
        _logger = logger;
        _policy = policy;
    }

    /// <summary>Whose loggers hear what the machine says.</summary>
    public ILoggerFactory LoggerFactory { get; }

    /// <summary>Times that the kernel found its own data overwritten in simulated memory and went on without it.</summary>
    public long DamageFound { get; private set; }

    /// <summary>Reports data in simulated memory that was overwritten, and that the kernel leaves alone: whatever the policy, for the operation that met it goes on.</summary>
    public void ReportDamage(string message, string report)
    {
        DamageFound++;
        LogBug(_logger, KernelBugKind.Corruption, "BUG: " + message, report);
    }

    /// <summary>Reports and, by policy, throws.</summary>
    public void Raise(KernelBugKind kind, string message, string report, Page page = default)
    {
        report += _machine.Callouts.DescribeDrivers();
        LogBug(_logger, kind, message, report);
        if (_policy == BugPolicy.Throw)
        {
            throw new KernelBugException(kind, message, report, page);
        }
    }

    /// <summary>Reports corruption of the allocator's own state: thrown whatever the policy.</summary>
    [DoesNotReturn]
    public static void Corrupt(string what) => throw new KernelBugException(KernelBugKind.Corruption, "Verify: " + what, "The allocator's state is inconsistent. This is a bug of MemSim unless the state was restored from a file.");

    [LoggerMessage(EventId = 1, Level = LogLevel.Critical, Message = "{Message} [{Kind}]\n{Report}")]
    private static partial void LogBug(ILogger logger, KernelBugKind kind, string message, string report);
}
