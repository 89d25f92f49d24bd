using System.Globalization;
using MemSim.Diagnostics;
using MemSim.Hotplug;
using MemSim.Lru;

namespace MemSim;

/// <summary>Hardware errors in memory: pages that the kernel uses no more (<c>CONFIG_MEMORY_FAILURE</c>, <c>hwpoison</c>). <see cref="MachineHotplug.Failures"/>.</summary>
/// <remarks>
/// Follows 6.1. What the kernel writes to its log about it goes to the logger <c>MemSim.MemoryFailure</c>. Settings: <c>vm.memory_failure_recovery</c>,
/// <c>vm.memory_failure_early_kill</c>. On a machine with parallel CPUs it belongs to times when no other thread drives a CPU.
/// </remarks>
public sealed class MemoryFailures : IPageFailures
{
    private readonly Machine _machine;
    private readonly FailureLog _log;
    private readonly FailureSignals _signals;
    private readonly PoisonHandler _handler;
    private readonly SoftOffliner _soft;

    internal MemoryFailures(Machine machine)
    {
        _machine = machine;
        _log = new FailureLog(machine);
        _signals = new FailureSignals(machine, _log);
        _handler = new PoisonHandler(machine, _log, _signals);
        _soft = new SoftOffliner(machine, _log);
    }

    /// <summary>Pages with errors (<c>HardwareCorrupted</c> of <c>/proc/meminfo</c>), those that could not be taken out of use included.</summary>
    public long CorruptedPages => _machine.SystemFigures.HardwareCorruptedPages;

    /// <summary>Whether an error was reported in a page (<c>PageHWPoison()</c>).</summary>
    /// <param name="pfn">The page.</param>
    public bool IsPoisoned(Pfn pfn) => pfn.Value is >= 0 and <= int.MaxValue && _machine.Frames.Poisoned.Contains((int)pfn.Value);

    /// <summary>What came of the errors of a node.</summary>
    /// <param name="node">The node's number.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such node.</exception>
    public MemoryFailureCounts OnNode(int node)
    {
        for (int i = 0; i < _machine.Nodes.Count; i++)
        {
            if (_machine.Nodes[i].Id == node)
            {
                return _log.Of(i);
            }
        }

        throw new ArgumentOutOfRangeException(nameof(node), node, "there is no such node");
    }

    /// <summary>The hardware reports an uncorrectable error in a page (<c>memory_failure()</c>, <c>hard_offline_page</c>): it goes out of use, and processes that lose contents by it get SIGBUS.</summary>
    /// <param name="pfn">The page.</param>
    /// <param name="flags">What is known of the error.</param>
    /// <param name="on">The CPU that deals with it; null for the caller's. The call may sleep.</param>
    /// <returns>
    /// ENXIO for what is no memory of the kernel; EHWPOISON where the error is known; EBUSY where the page cannot be taken out of use: the kernel's own memory, or a page that somebody holds. It is
    /// remembered then, and stays out of use once it is freed.
    /// </returns>
    /// <exception cref="ArgumentException">The CPU belongs to another machine.</exception>
    /// <exception cref="KernelBugException">The CPU is in atomic context, or <c>vm.memory_failure_recovery</c> is 0 and the kernel panics.</exception>
    public Errno Fail(Pfn pfn, MemoryFailureFlags flags = MemoryFailureFlags.None, Cpu? on = null)
    {
        using Callouts.OperationScope operation = _machine.Callouts.Enter();
        Cpu cpu = Sleeper(on, "memory_failure");
        Errno result = FailLocked(cpu, pfn, flags);
        _signals.Deliver(cpu);
        return result;
    }

    /// <summary>A page shows errors that the hardware could still correct (<c>soft_offline_page</c>): what is in it moves elsewhere, unnoticed, and it goes out of use.</summary>
    /// <param name="pfn">The page.</param>
    /// <param name="on">The CPU that does it; null for the caller's. The call may sleep.</param>
    /// <returns>ENXIO for what is no memory of the kernel; EBUSY where what is in the page cannot move: it is in use as before then. A page that is out of use already is no error.</returns>
    /// <exception cref="ArgumentException">The CPU belongs to another machine.</exception>
    /// <exception cref="KernelBugException">The CPU is in atomic context.</exception>
    public Errno SoftOffline(Pfn pfn, Cpu? on = null)
    {
        using Callouts.OperationScope operation = _machine.Callouts.Enter();
        Cpu cpu = Sleeper(on, "soft_offline_page");
        using OwnersLock.Scope scope = _machine.OwnersLock.EnterOperation();
        return Find(pfn, out int frame) is { } zone ? _soft.Run(cpu, zone, frame) : Errno.ENXIO;
    }

    /// <summary>A page that was taken out of use for a test is good again (<c>unpoison_memory()</c>, debugfs <c>hwpoison/unpoison-pfn</c>).</summary>
    /// <param name="pfn">The page.</param>
    /// <param name="on">The CPU that does it; null for the caller's.</param>
    /// <returns>ENXIO for what is no memory of the kernel; EBUSY where there was no error, or somebody still has the page.</returns>
    /// <exception cref="ArgumentException">The CPU belongs to another machine.</exception>
    /// <exception cref="KernelBugException">The CPU is in atomic context.</exception>
    public Errno Unpoison(Pfn pfn, Cpu? on = null)
    {
        using Callouts.OperationScope operation = _machine.Callouts.Enter();
        Cpu cpu = Sleeper(on, "unpoison_memory");
        using OwnersLock.Scope scope = _machine.OwnersLock.EnterOperation();
        return Find(pfn, out int frame) is not null ? _handler.Unpoison(cpu, frame) : Errno.ENXIO;
    }

    Errno IPageFailures.Inject(Cpu cpu, int pfn, ulong address, bool soft)
    {
        _log.Line(string.Create(CultureInfo.InvariantCulture, $"{(soft ? "Soft offlining" : "Injecting memory failure for")} pfn 0x{pfn:x} at process virtual address 0x{address:x}"));
        return soft ? SoftOffline(new Pfn(pfn), cpu) : FailLocked(cpu, new Pfn(pfn), MemoryFailureFlags.ActionRequired);
    }

    void IPageFailures.DeliverSignals(Cpu cpu) => _signals.Deliver(cpu);

    private Errno FailLocked(Cpu cpu, Pfn pfn, MemoryFailureFlags flags)
    {
        if (_machine.Settings.Sysctls.Number("memory_failure_recovery") == 0)
        {
            string message = string.Create(CultureInfo.InvariantCulture, $"Kernel panic - not syncing: Memory failure on page {pfn.Value:x}");
            _machine.Bugs.Raise(KernelBugKind.Panic, message, "vm.memory_failure_recovery is 0");
        }

        using OwnersLock.Scope scope = _machine.OwnersLock.EnterOperation();
        if (Find(pfn, out int frame) is { } zone)
        {
            return _handler.Fail(cpu, zone, frame, flags);
        }

        _log.Line(string.Create(CultureInfo.InvariantCulture, $"Memory failure: 0x{pfn.Value:x}: memory outside kernel control"));
        return Errno.ENXIO;
    }

    /// <summary>The zone of a page that the kernel knows (<c>pfn_to_online_page()</c>).</summary>
    private Zone? Find(Pfn pfn, out int frame)
    {
        frame = pfn.Value >= 0 && pfn.Value < _machine.Frames.Count ? (int)pfn.Value : -1;
        Zone? zone = frame < 0 ? null : _machine.ZoneTable.ZoneOf(frame);
        return zone is null or { Type: ZoneType.Device } ? null : zone;
    }

    private Cpu Sleeper(Cpu? on, string what)
    {
        _machine.ThrowIfDisposed();
        Cpu cpu = _machine.CpuTable.Own(on);
        cpu.Context.MightSleep(what);
        return cpu;
    }
}
