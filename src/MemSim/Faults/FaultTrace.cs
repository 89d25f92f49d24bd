using MemSim.Diagnostics;

namespace MemSim.Faults;

/// <summary>The receivers of fault tracepoints.</summary>
internal sealed class FaultTrace : TraceFanOut<IFaultTraceSink>
{
    public void Emit(Cpu cpu, in PageFault fault)
    {
        foreach (IFaultTraceSink sink in Sinks)
        {
            using Cpu.UserCodeScope scope = cpu.EnterUserCode();
            try
            {
                if (fault.User)
                {
                    sink.PageFaultUser(cpu, fault.Address, cpu.CurrentCallSite, fault.Code);
                }
                else
                {
                    sink.PageFaultKernel(cpu, fault.Address, cpu.CurrentCallSite, fault.Code);
                }
            }
            catch (Exception thrown)
            {
                Failed(cpu, sink, thrown);
            }
        }
    }
}
