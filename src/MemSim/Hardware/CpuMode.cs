namespace MemSim.Hardware;

/// <summary>What the hot paths have to look at before they start on a CPU, precomputed so that one comparison tells.</summary>
internal enum CpuMode : byte
{
    /// <summary>Nothing: ordinary process context on a single-threaded machine that nobody watches.</summary>
    Plain,

    /// <summary>As <see cref="Plain"/>, on a kernel whose limits of per-CPU lists move.</summary>
    Moving,

    /// <summary>As <see cref="Plain"/>, with real locks.</summary>
    Parallel,

    /// <summary>Tracepoints, owners who pay, or pages that are zeroed without being asked for.</summary>
    Observed,

    /// <summary>The context: interrupts, disabled preemption, task flags, policies, an offline CPU, a disposed machine.</summary>
    Special,
}
