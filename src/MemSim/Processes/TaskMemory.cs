using MemSim.Slab;

namespace MemSim.Processes;

/// <summary>What a task takes of the kernel's memory beside its address space: its objects and its stack.</summary>
internal sealed class TaskMemory
{
    private static readonly KernelObject[] Parts =
        [KernelObject.Task, KernelObject.Credentials, KernelObject.Files, KernelObject.FileSystem, KernelObject.SignalHandlers, KernelObject.Signal, KernelObject.Pid];

    private readonly Machine _machine;
    private readonly KernelObjects _objects;
    private readonly VirtualAddress[] _parts = new VirtualAddress[Parts.Length];
    private KernelStack? _newStack;

    private TaskMemory(Machine machine)
    {
        _machine = machine;
        _objects = machine.Slab.KernelObjects;
    }

    /// <summary>Whether the task itself is gone.</summary>
    public bool IsGone => _parts[0].IsNull;

    /// <summary>Takes all that a new task needs (<c>copy_process()</c>); null without memory, then nothing is taken.</summary>
    public static TaskMemory? TryTake(Machine machine, Cpu cpu)
    {
        TaskMemory memory = new(machine);
        for (int i = 0; i < Parts.Length; i++)
        {
            memory._parts[i] = memory._objects.Take(cpu, Parts[i]);
            if (memory._parts[i].IsNull || (i == 0 && (memory._newStack = machine.Stacks.MakeCharged(cpu)) is null))
            {
                memory.GiveBack(cpu);
                return null;
            }
        }

        return memory;
    }

    /// <summary>The task exists now: the stack is its.</summary>
    public void Attach(KernelTask task)
    {
        _machine.Stacks.Attach(_newStack!, task);
        _newStack = null;
    }

    /// <summary>The task was not made after all.</summary>
    public void GiveBack(Cpu cpu)
    {
        if (_newStack is not null)
        {
            _machine.Stacks.Discard(cpu, _newStack);
            _newStack = null;
        }

        foreach (KernelObject part in Parts)
        {
            Give(cpu, part);
        }
    }

    /// <summary>The task has ended: it needs its files no more (<c>exit_files()</c>, <c>exit_fs()</c>).</summary>
    public void GiveFiles(Cpu cpu)
    {
        Give(cpu, KernelObject.Files);
        Give(cpu, KernelObject.FileSystem);
    }

    /// <summary>Its parent knows that it has ended (<c>release_task()</c>).</summary>
    public void GiveSignals(Cpu cpu)
    {
        Give(cpu, KernelObject.Signal);
        Give(cpu, KernelObject.SignalHandlers);
        Give(cpu, KernelObject.Pid);
    }

    /// <summary>Nobody asks for it any more, and it runs nowhere (<c>__put_task_struct()</c>).</summary>
    public void GiveTask(Cpu cpu)
    {
        Give(cpu, KernelObject.Credentials);
        Give(cpu, KernelObject.Task);
    }

    /// <summary>Adds the objects it still has.</summary>
    public void Collect(KernelObjectCheck check)
    {
        for (int i = 0; i < Parts.Length; i++)
        {
            if (!_parts[i].IsNull)
            {
                check.Add(Parts[i], _parts[i]);
            }
        }
    }

    private void Give(Cpu cpu, KernelObject part)
    {
        ref VirtualAddress obj = ref _parts[Array.IndexOf(Parts, part)];
        _objects.Give(cpu, part, obj);
        obj = default;
    }
}
