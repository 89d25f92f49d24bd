using MemSim.Hardware;

namespace MemSim.KernelMemory;

/// <summary>Kernel stacks and short-term mappings in a switch of tasks.</summary>
internal sealed class TaskSwitching : ITaskSwitching
{
    public void Check(Cpu cpu, KernelTask previous, KernelTask next)
    {
        if (next.Mappings is { HasSlots: true } maps && !ReferenceEquals(maps.Home, cpu))
        {
            throw new InvalidOperationException($"CPU {cpu.Id} cannot switch to {next}: migration is disabled, the task has {maps.Depth} mappings on CPU {maps.Home?.Id}");
        }

        previous.Stack?.CheckEnd(cpu);
    }

    public bool DisablesPageFaults(KernelTask task) => task.Mappings is { Atomic: > 0 };

    public void Switch(Cpu cpu, KernelTask from, KernelTask to) => cpu.HighMemory.SwitchMappings(from, to);
}
