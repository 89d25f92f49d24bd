namespace MemSim;

/// <summary>Receives the tracepoints of page faults (<c>exceptions:page_fault_user</c>, <c>exceptions:page_fault_kernel</c>).</summary>
/// <remarks>Called on the thread that drives the CPU; must not call back into the machine. There is no instruction pointer: simulated code has no addresses, so <c>ip</c> is what <see cref="Cpu.CallSite"/> says.</remarks>
public interface IFaultTraceSink : ITraceSink
{
    /// <summary><c>page_fault_user</c>: user code faulted.</summary>
    void PageFaultUser(Cpu cpu, VirtualAddress address, string ip, uint errorCode);

    /// <summary><c>page_fault_kernel</c>: kernel code faulted.</summary>
    void PageFaultKernel(Cpu cpu, VirtualAddress address, string ip, uint errorCode);
}
