using MemSim.Processes;
using MemSim.Slab;

namespace MemSim;

/// <content>The kernel's memory that a process takes for itself.</content>
public sealed partial class Process
{
    private readonly TaskMemory _memory;

    internal void Collect(KernelObjectCheck check) => _memory.Collect(check);

    /// <summary>
    /// Gives up what is needed no more: files at the end, the stack when it runs no longer (<c>finish_task_switch()</c>), the number when the parent knows, and the
    /// task itself after both.
    /// </summary>
    private void GiveUpMemory(Cpu cpu)
    {
        if (State == ProcessState.Running || _memory.IsGone)
        {
            return;
        }

        bool runs = RunsOn is not null;
        _memory.GiveFiles(cpu);
        if (!runs && Stack is not null)
        {
            _spaces.Machine.Stacks.Free(cpu, this);
        }

        if (State == ProcessState.Dead)
        {
            _memory.GiveSignals(cpu);
            if (!runs)
            {
                _memory.GiveTask(cpu);
                _spaces.Machine.Processes.Pids.Tasks.Remove(this);
            }
        }
    }
}
