using System.Runtime.CompilerServices;
using MemSim.Diagnostics;
using MemSim.Hardware;

namespace MemSim;

/// <content>The state of the context, and what changes it.</content>
public sealed partial class CpuContext
{
    // The kernel's preempt_count: 8 bits of preemption depth, 8 of softirq, 4 of hardirq, 4 of NMI.
    private const int SoftIrqUnit = 1 << 8;
    private const int HardIrqUnit = 1 << 16;
    private const int NmiUnit = 1 << 20;
    internal const int PreemptMask = 0xff;
    private const int SoftIrqMask = 0xff00;
    private const int HardIrqMask = 0xf0000;
    private const int NmiMask = 0xf00000;

    private readonly KernelTask _idle;
    private int _preemptCount;
    private int _irqDisableDepth;
    private int _spinlocksHeld;
    private CpuMode _modeBefore;

    /// <summary>Whether an atomic mapping remembers the mode before it: until somebody calls <see cref="UpdateMode"/>.</summary>
    private bool _knowsModeBefore;

    /// <summary>Whether <see cref="UpdateMode"/> was called since the fast paths were closed last.</summary>
    private bool _modeWasAsked;

    /// <summary>The host thread that last ran a task here, on a machine with parallel CPUs; 0 when none did.</summary>
    internal int Driver { get; set; }

    /// <summary>Who drives the CPU, on a machine with parallel CPUs; null elsewhere.</summary>
    internal DriverGuard? Drivers { get; }

    /// <summary>Whether no task runs here.</summary>
    internal bool IsIdle => ReferenceEquals(_cpu.Current, _idle);

    internal void UpdateMode()
    {
        _knowsModeBefore = false;
        _modeWasAsked = true;
        bool special = _preemptCount != 0 || _irqDisableDepth != 0 || _cpu.Current.NeedsAttention || _cpu.Machine.IsDisposed || _cpu.Machine.CpuTable.ChecksEveryRequest || !_cpu.IsOnline || _cpu.Machine.Callouts.IsInUserCode;
        _cpu.Mode = special ? CpuMode.Special : _cpu.Machine.CpuTable.UsualMode;
    }

    internal void Leave(ContextKind kind, KernelTask? previous, TaskFlags added)
    {
        if (IsLeft(kind))
        {
            throw new InvalidOperationException($"CPU {_cpu.Id} is not in the context ({kind}) that is being left: a scope was disposed twice");
        }

        switch (kind)
        {
            case ContextKind.Task:
                _cpu.Machine.CpuTable.TaskSwitching?.Switch(_cpu, _cpu.Current, previous ?? _idle);
                KernelTask left = _cpu.Current;
                left.RunsOn = null;
                _cpu.Current = previous ?? _idle;
                _cpu.Current.RunsOn = _cpu;
                _cpu.Current.Enter(_cpu);
                left.Left(_cpu);
                break;
            case ContextKind.TaskFlag:
                previous!.Flags &= ~added;
                break;
            case ContextKind.Irq:
                _irqDisableDepth--;
                break;
            case ContextKind.Spinlock:
                _spinlocksHeld--;
                _preemptCount--;
                break;
            default:
                _preemptCount -= Unit(kind);
                break;
        }

        UpdateMode();
    }

    private bool IsLeft(ContextKind kind) => kind switch
    {
        ContextKind.Task or ContextKind.TaskFlag => false,
        ContextKind.Irq => _irqDisableDepth == 0,
        ContextKind.Spinlock => _spinlocksHeld == 0,
        ContextKind.Preempt => PreemptDepth == _spinlocksHeld,
        _ => (_preemptCount & MaskOf(kind)) == 0,
    };

    private static int MaskOf(ContextKind kind) => kind switch
    {
        ContextKind.HardIrq => HardIrqMask,
        ContextKind.SoftIrq => SoftIrqMask,
        ContextKind.Nmi => NmiMask,
        _ => PreemptMask,
    };

    private static int Unit(ContextKind kind) => kind switch
    {
        ContextKind.HardIrq => HardIrqUnit,
        ContextKind.SoftIrq => SoftIrqUnit,
        ContextKind.Nmi => NmiUnit + HardIrqUnit,
        _ => 1,
    };

    internal ContextScope Enter(ContextKind kind)
    {
        int mask = MaskOf(kind);
        if (kind != ContextKind.Irq && ((_preemptCount & mask) == mask || (kind == ContextKind.Nmi && (_preemptCount & HardIrqMask) == HardIrqMask)))
        {
            throw new InvalidOperationException($"CPU {_cpu.Id}: contexts nested too deeply (preempt_count 0x{_preemptCount:x8})");
        }

        switch (kind)
        {
            case ContextKind.Irq:
                _irqDisableDepth++;
                break;
            case ContextKind.Spinlock:
                _spinlocksHeld++;
                _preemptCount++;
                break;
            default:
                _preemptCount += Unit(kind);
                break;
        }

        UpdateMode();
        return new ContextScope(_cpu, kind, null, default);
    }

    internal ContextScope EnterTaskFlag(TaskFlags flag)
    {
        TaskFlags added = flag & ~_cpu.Current.Flags;
        _cpu.Current.Flags |= flag;
        UpdateMode();
        return new ContextScope(_cpu, ContextKind.TaskFlag, _cpu.Current, added);
    }

    /// <summary>Preemption is off while an atomic mapping exists.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void EnterAtomicMapping()
    {
        if (_preemptCount++ == 0)
        {
            // Good until somebody calls UpdateMode, as all do who change what it depends on.
            _modeBefore = _cpu.Mode;
            _knowsModeBefore = true;
            _cpu.Mode = CpuMode.Special;
        }
    }

    /// <summary>One atomic mapping less.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void LeaveAtomicMapping()
    {
        if (--_preemptCount != 0)
        {
            return;
        }

        if (_knowsModeBefore)
        {
            _cpu.Mode = _modeBefore;
        }
        else
        {
            UpdateMode();
        }
    }

    /// <summary>User code runs: what <see cref="UpdateMode"/> would find, without looking.</summary>
    /// <returns>What <see cref="ReopenFastPaths"/> goes by.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ClosedPaths CloseFastPaths()
    {
        ClosedPaths closed = new(_cpu.Mode, _modeWasAsked);
        _knowsModeBefore = false;
        _modeWasAsked = false;
        _cpu.Mode = CpuMode.Special;
        return closed;
    }

    /// <summary>User code is over: the mode is what it was, unless somebody asked for it meanwhile, as all do who change what it depends on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void ReopenFastPaths(ClosedPaths closed)
    {
        if (_modeWasAsked || _knowsModeBefore)
        {
            UpdateMode();
            return;
        }

        _cpu.Mode = closed.Mode;
        _modeWasAsked = closed.WasAsked;
    }

    /// <summary>The mode before the fast paths were closed, and whether user code around that had changed what it depends on.</summary>
    internal readonly record struct ClosedPaths(CpuMode Mode, bool WasAsked);

    /// <summary>Lends the CPU to another task, in process context, whatever it is doing: what it did "goes on elsewhere" meanwhile.</summary>
    /// <returns>What <see cref="Return"/> brings back.</returns>
    internal LentContext Lend(KernelTask task)
    {
        LentContext lent = new(_cpu.Current, _preemptCount, _irqDisableDepth, _spinlocksHeld);
        Switch(task, default);
        return lent;
    }

    /// <summary>Brings back what the CPU did before it was lent.</summary>
    internal void Return(in LentContext lent)
    {
        Switch(lent.Task, lent);
        lent.Task.NoteRan();
    }

    private void Switch(KernelTask to, in LentContext state)
    {
        _cpu.Machine.CpuTable.TaskSwitching?.Switch(_cpu, _cpu.Current, to);
        _cpu.Current.RunsOn = null;
        (_preemptCount, _irqDisableDepth, _spinlocksHeld) = (state.PreemptCount, state.IrqDisableDepth, state.SpinlocksHeld);
        _cpu.Current = to;
        to.RunsOn = _cpu;
        UpdateMode();
    }

    /// <summary>What a CPU did when it was lent.</summary>
    internal readonly record struct LentContext(KernelTask Task, int PreemptCount, int IrqDisableDepth, int SpinlocksHeld);
}
