using MemSim.Background;

namespace MemSim;

/// <content>Kernel threads that borrow the CPU.</content>
public sealed partial class Cpu
{
    /// <summary>Lends the CPU to a background thread, in process context, whatever it is doing: the thread "runs elsewhere" until the scope is disposed.</summary>
    internal BackgroundScope EnterBackground(KernelTask task)
    {
        BackgroundScope scope = new(this, _current, _preemptCount, _irqDisableDepth, _spinlocksHeld);
        Machine.CpuTable.TaskSwitching?.Switch(this, _current, task);
        _current.RunsOn = null;
        (_preemptCount, _irqDisableDepth, _spinlocksHeld) = (0, 0, 0);
        _current = task;
        task.RunsOn = this;
        UpdateMode();
        return scope;
    }

    internal void LeaveBackground(KernelTask previous, int preemptCount, int irqDisableDepth, int spinlocksHeld)
    {
        Machine.CpuTable.TaskSwitching?.Switch(this, _current, previous);
        _current.RunsOn = null;
        (_preemptCount, _irqDisableDepth, _spinlocksHeld) = (preemptCount, irqDisableDepth, spinlocksHeld);
        _current = previous;
        previous.RunsOn = this;
        previous.NoteRan();
        UpdateMode();
    }
}
