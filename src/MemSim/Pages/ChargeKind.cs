namespace MemSim.Pages;

/// <summary>For what a frame is charged to a memory cgroup.</summary>
internal enum ChargeKind
{
    /// <summary>Anonymous memory or page cache.</summary>
    User,

    /// <summary>The kernel's (<c>__GFP_ACCOUNT</c>).</summary>
    Kernel,

    /// <summary>A kernel stack.</summary>
    Stack,

    /// <summary>vmalloc.</summary>
    Vmalloc,
}
