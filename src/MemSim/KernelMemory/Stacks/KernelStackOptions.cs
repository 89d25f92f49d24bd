namespace MemSim;

/// <summary>How a machine's kernel stacks are made; given to the boot with <see cref="MachineSpec.WithStacks"/>.</summary>
public sealed record KernelStackOptions
{
    /// <summary>As Debian's 6.1 kernel of the architecture has them: 16 KiB in vmalloc space on 64 bits, 8 KiB of the direct map on 32.</summary>
    public static KernelStackOptions Default { get; } = new();

    /// <summary>As the 2.6 kernels had them: in the direct map, <c>thread_info</c> at the bottom.</summary>
    public static KernelStackOptions Classic { get; } = new() { Vmapped = false, ThreadInfoBytes = 56 };

    /// <summary>Pages of a stack (<c>THREAD_SIZE</c>): 1, 2 or 4; 0 for the architecture's own size. 1 is <c>CONFIG_4KSTACKS</c>.</summary>
    public int Pages { get; init; }

    /// <summary>Whether stacks lie in vmalloc space with a guard page below (<c>CONFIG_VMAP_STACK</c>); null for the architecture's way.</summary>
    public bool? Vmapped { get; init; }

    /// <summary>Bytes of <c>thread_info</c> at the bottom of a task's stack; 0 where it is part of the task (<c>CONFIG_THREAD_INFO_IN_TASK</c>).</summary>
    public int ThreadInfoBytes { get; init; }
}
