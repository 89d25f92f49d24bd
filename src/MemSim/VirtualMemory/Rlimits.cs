namespace MemSim;

/// <summary>The resource limits of a process that concern memory (<c>setrlimit()</c>), in bytes; <see cref="ulong.MaxValue"/> is no limit.</summary>
public sealed record Rlimits
{
    /// <summary>How far the stack may grow (<c>RLIMIT_STACK</c>).</summary>
    public ulong Stack { get; init; } = 8 << 20;

    /// <summary>All areas together (<c>RLIMIT_AS</c>).</summary>
    public ulong AddressSpace { get; init; } = ulong.MaxValue;

    /// <summary>Heap and private writable areas (<c>RLIMIT_DATA</c>).</summary>
    public ulong Data { get; init; } = ulong.MaxValue;

    /// <summary>Locked memory (<c>RLIMIT_MEMLOCK</c>): 8 MiB since 5.16.</summary>
    public ulong LockedMemory { get; init; } = 8 << 20;

    /// <summary>Processes (<c>RLIMIT_NPROC</c>), counted over the machine.</summary>
    public long Processes { get; init; } = long.MaxValue;

    /// <summary>Whether the process may lock as much as it wants (<c>CAP_IPC_LOCK</c>).</summary>
    public bool MayLockAll { get; init; }

    /// <summary>Whether the process is an administrator's (<c>CAP_SYS_ADMIN</c>): the commit limit leaves it the reserve.</summary>
    public bool IsAdmin { get; init; }
}
