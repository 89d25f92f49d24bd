using System.Globalization;
using MemSim.Kernels;
using MemSim.PageAllocation;
using MemSim.Zones;
using Microsoft.Extensions.Logging;

namespace MemSim.Observability;

/// <summary>Reports of allocations that failed, in the kernel's form, through the machine's logger. The kernel limits their rate; here every failure without <see cref="Gfp.NoWarn"/> is reported.</summary>
/// <remarks>
/// The whole text is written when somebody listens (the logger is enabled for warnings) or <see cref="KeepsText"/> is set, since only then the state it describes
/// is still there. Otherwise a failure costs a few stores, and <see cref="Last"/> is the first two lines, formatted when somebody asks.
/// </remarks>
internal sealed partial class FailureReports : IFailureReports
{
    private readonly Machine _machine;
    private readonly ILogger _logger;
    private Failure _last;
    private string? _text;

    public FailureReports(Machine machine, ILogger logger)
    {
        _machine = machine;
        _logger = logger;
    }

    /// <summary>How many requests failed.</summary>
    public long Failures { get; private set; }

    /// <summary>Whether whole reports are written even when nobody listens to the logger.</summary>
    public bool KeepsText { get; set; }

    /// <summary>The text of the last report, or its head; null before the first and after failures that asked for none.</summary>
    public string? Last => _text ?? (_last.Task is null ? null : Head(_last));

    public void OrderTooLarge(Cpu cpu, Gfp gfp, int order)
    {
        Failures++;
        if ((gfp & Gfp.NoWarn) == 0)
        {
            LogOrder(_logger, cpu.Current.Name, order, PageGeometry.MaxOrder, GfpText.FormatWithHex(gfp, _machine.Personality));
        }
    }

    /// <summary>The page allocation failure report (<c>warn_alloc()</c>).</summary>
    public void AllocationFailed(Cpu cpu, Gfp gfp, int order, ulong nodeMask)
    {
        Failures++;
        _text = null;
        _last = default;
        if ((gfp & Gfp.NoWarn) != 0)
        {
            return;
        }

        _last = new Failure(cpu.Current, cpu.Id, gfp, order, nodeMask);
        if (KeepsText || _logger.IsEnabled(LogLevel.Warning))
        {
            int highest = GfpZones.HighestZoneIndex(gfp, _machine.Architecture);
            _text = Head(_last) + ShowMemText.Of(_machine, cpu, highest, nodeMask);
            LogFailure(_logger, _text);
        }
    }

    /// <summary>The first line, and the one of the CPU and task; a simulated machine has no call trace.</summary>
    private string Head(in Failure failure)
    {
        string nodes = failure.NodeMask == ulong.MaxValue ? "(null)" : NodeMask.Format(failure.NodeMask);
        string head = string.Create(CultureInfo.InvariantCulture,
            $"{failure.Task.Name}: page allocation failure: order:{failure.Order}, mode:{GfpText.FormatWithHex(failure.Gfp, _machine.Personality)}, nodemask={nodes},cpuset={Cgroup.CpusetOf(failure.Task)},mems_allowed={NodeMask.Format(failure.Task.AllowedNodes & _machine.ZoneTable.NodeMask)}\n");
        return head + CpuLine(failure.Cpu, failure.Task, _machine.Personality);
    }

    public string MemoryState(Cpu cpu, int highestZoneIndex, ulong nodeMask) => ShowMemText.Of(_machine, cpu, highestZoneIndex, nodeMask);

    public string CpuLine(Cpu cpu) => CpuLine(cpu.Id, cpu.Current, _machine.Personality);

    private static string CpuLine(int cpu, KernelTask task, KernelPersonality kernel)
    {
        string user = kernel.Views.ReportsNameUser ? " UID: 0" : "";
        string preemption = kernel.Views.ReportPreemption.Length == 0 ? "" : $" {kernel.Views.ReportPreemption} ";
        return string.Create(CultureInfo.InvariantCulture, $"CPU: {cpu}{user} PID: {task.Pid} Comm: {task.Name} Not tainted {kernel.Name}.0-memsim #1{preemption}\n");
    }

    [LoggerMessage(EventId = 10, Level = LogLevel.Warning, Message = "{Report}")]
    private static partial void LogFailure(ILogger logger, string report);

    [LoggerMessage(EventId = 11, Level = LogLevel.Warning, Message = "{Task}: order {Order} is larger than the largest block ({MaxOrder}), mode:{Gfp}: the request fails")]
    private static partial void LogOrder(ILogger logger, string task, int order, int maxOrder, string gfp);

    private readonly record struct Failure(KernelTask Task, int Cpu, Gfp Gfp, int Order, ulong NodeMask);
}
