using System.Globalization;
using Microsoft.Extensions.Logging;

namespace MemSim.Hotplug;

/// <summary>What the kernel's log says about hardware errors, and the counts of each node.</summary>
internal sealed partial class FailureLog
{
    private readonly Machine _machine;
    private readonly ILogger _logger;
    private readonly MemoryFailureCounts[] _counts;

    public FailureLog(Machine machine)
    {
        _machine = machine;
        _logger = machine.Bugs.LoggerFactory.CreateLogger("MemSim.MemoryFailure");
        _counts = new MemoryFailureCounts[machine.Nodes.Count];
    }

    /// <summary>The counts of the node with a place in the list of nodes.</summary>
    public MemoryFailureCounts Of(int nodeIndex) => _counts[nodeIndex];

    /// <summary>A line about a page, as <c>Memory failure: 0x12345: unhandlable page.</c></summary>
    public void Page(int pfn, string text) => LogLine(_logger, string.Create(CultureInfo.InvariantCulture, $"Memory failure: 0x{pfn:x}: {text}"));

    /// <summary>A line of its own.</summary>
    public void Line(string text) => LogLine(_logger, text);

    /// <summary>How it ended (<c>action_result()</c>): every page counts as corrupted, whether anything could be done or not.</summary>
    public MemoryFailureResult Result(int pfn, string what, MemoryFailureResult result)
    {
        Page(pfn, $"recovery action for {what}: {result}");
        _machine.SystemFigures.HardwareCorruptedPages++;
        if (_machine.ZoneTable.ZoneOf(pfn) is { } zone)
        {
            int index = IndexOf(zone.Node);
            MemoryFailureCounts before = _counts[index];
            _counts[index] = result switch
            {
                MemoryFailureResult.Ignored => before with { Total = before.Total + 1, Ignored = before.Ignored + 1 },
                MemoryFailureResult.Failed => before with { Total = before.Total + 1, Failed = before.Failed + 1 },
                MemoryFailureResult.Delayed => before with { Total = before.Total + 1, Delayed = before.Delayed + 1 },
                _ => before with { Total = before.Total + 1, Recovered = before.Recovered + 1 },
            };
        }

        return result;
    }

    private int IndexOf(Node node)
    {
        int index = 0;
        while (_machine.Nodes[index] != node)
        {
            index++;
        }

        return index;
    }

    [LoggerMessage(EventId = 40, Level = LogLevel.Error, Message = "{Line}")]
    private static partial void LogLine(ILogger logger, string line);
}
