using System.Globalization;
using Microsoft.Extensions.Logging;

namespace MemSim.Observability;

/// <summary>Reports of allocations that failed, in the kernel's form, through the machine's logger.</summary>
internal sealed partial class FailureReports
{
    private readonly Machine _machine;
    private readonly ILogger _logger;

    public FailureReports(Machine machine, ILogger logger)
    {
        _machine = machine;
        _logger = logger;
    }

    /// <summary>How many requests failed.</summary>
    public long Failures { get; private set; }

    /// <summary>The text of the last report; null before the first and after failures that asked for none.</summary>
    public string? Last { get; private set; }

    public void OrderTooLarge(Cpu cpu, Gfp gfp, int order)
    {
        Failures++;
        if ((gfp & Gfp.NoWarn) == 0)
        {
            LogOrder(_logger, cpu.Current.Name, order, PageGeometry.MaxOrder, GfpText.FormatWithHex(gfp));
        }
    }

    /// <summary>The page allocation failure report (<c>warn_alloc()</c>).</summary>
    public void AllocationFailed(Cpu cpu, Gfp gfp, int order, ulong nodeMask)
    {
        Failures++;
        Last = null;
        if ((gfp & Gfp.NoWarn) != 0)
        {
            return;
        }

        string nodes = nodeMask == ulong.MaxValue ? "(null)" : NodeList(nodeMask);
        string headline = string.Create(CultureInfo.InvariantCulture,
            $"{cpu.Current.Name}: page allocation failure: order:{order}, mode:{GfpText.FormatWithHex(gfp)}, nodemask={nodes},cpuset=/,mems_allowed={NodeList(_machine.NodeMask)}");
        if (_logger.IsEnabled(LogLevel.Warning))
        {
            Last = headline + "\n" + _machine.Proc.ShowMem();
            LogFailure(_logger, Last);
        }
        else
        {
            Last = headline;
        }
    }

    private static string NodeList(ulong mask)
    {
        List<string> parts = [];
        for (int node = 0; node < 64; node++)
        {
            if ((mask >> node & 1) == 0)
            {
                continue;
            }

            int last = node;
            while (last < 63 && (mask >> (last + 1) & 1) != 0)
            {
                last++;
            }

            parts.Add(last == node ? node.ToString(CultureInfo.InvariantCulture) : string.Create(CultureInfo.InvariantCulture, $"{node}-{last}"));
            node = last;
        }

        return string.Join(',', parts);
    }

    [LoggerMessage(EventId = 10, Level = LogLevel.Warning, Message = "{Report}")]
    private static partial void LogFailure(ILogger logger, string report);

    [LoggerMessage(EventId = 11, Level = LogLevel.Warning, Message = "{Task}: order {Order} is larger than the largest block ({MaxOrder}), mode:{Gfp}: the request fails")]
    private static partial void LogOrder(ILogger logger, string task, int order, int maxOrder, string gfp);
}
