using MemSim.Statistics;

namespace MemSim.Faults;

/// <summary>The receivers of fault tracepoints.</summary>
internal sealed class FaultTrace : TraceFanOut<IFaultTraceSink>
{
    public void Emit(Cpu cpu, in PageFault fault) => Pass(cpu, in fault, static (sink, cpu, in fault) =>
    {
        if (fault.User)
        {
            sink.PageFaultUser(cpu, fault.Address, cpu.CurrentCallSite, fault.Code);
        }
        else
        {
            sink.PageFaultKernel(cpu, fault.Address, cpu.CurrentCallSite, fault.Code);
        }
    });
}
