namespace MemSim;

/// <summary>Why reclaim waits (<c>enum vmscan_throttle_state</c>).</summary>
public enum ReclaimThrottleReason
{
    /// <summary>The pages it finds are being written.</summary>
    Writeback,

    /// <summary>Too many pages are off their lists already.</summary>
    Isolated,

    /// <summary>It found little that it could take.</summary>
    NoProgress,

    /// <summary>Dirty pages come round faster than they are written.</summary>
    Congested,
}
