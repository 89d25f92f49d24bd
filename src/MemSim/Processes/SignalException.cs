namespace MemSim;

/// <summary>A process made an access that its address space does not allow and that no handler of its own repaired: the kernel sent it a signal.</summary>
/// <remarks>The access did not happen. The process is still there, with <see cref="Process.LastSignal"/> set; let it die with <see cref="Process.Exit(Cpu, ExitStatus)"/>.</remarks>
public sealed class SignalException : PageFaultException
{
    internal SignalException(Process process, SignalInfo signal, PageFault fault, string report)
        : base(fault, report)
    {
        Process = process;
        SignalInfo = signal;
    }

    /// <summary>The process.</summary>
    public Process Process { get; }

    /// <summary>The signal.</summary>
    public SignalInfo SignalInfo { get; }

    /// <summary>The signal, the process and the walk.</summary>
    public override string Message => $"{Process} got {SignalInfo}\n{base.Message}";
}
