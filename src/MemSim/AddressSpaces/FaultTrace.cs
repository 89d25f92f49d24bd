namespace MemSim.AddressSpaces;

/// <summary>The receivers of fault tracepoints.</summary>
internal sealed class FaultTrace
{
    private readonly List<IFaultTraceSink> _sinks = [];

    public bool IsIdle => _sinks.Count == 0;

    public void Attach(IFaultTraceSink sink) => _sinks.Add(sink);

    public void Detach(IFaultTraceSink sink) => _sinks.Remove(sink);

    public void Emit(Cpu cpu, in PageFault fault)
    {
        foreach (IFaultTraceSink sink in _sinks)
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
    }
}
