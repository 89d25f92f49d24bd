using MemSim.KernelMemory;

namespace MemSim;

/// <content>What a task keeps in kernel memory.</content>
public partial class KernelTask
{
    /// <summary>The task's kernel stack; null until <see cref="KernelStacks.Create"/> gives it one.</summary>
    public KernelStack? Stack { get; internal set; }

    /// <summary>The task's short-term mappings of high memory; null when it never had one.</summary>
    internal TaskMappings? Mappings { get; set; }
}
