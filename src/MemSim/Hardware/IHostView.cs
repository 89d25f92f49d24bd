namespace MemSim.Hardware;

/// <summary>A value that is nothing but an address of the host: no state of the machine. A snapshot does not carry it; whoever owns the memory makes it anew.</summary>
internal interface IHostView;
