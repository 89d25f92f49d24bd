using MemSim.BlockDevices;

namespace MemSim;

/// <content>Waiting for devices.</content>
public sealed partial class Machine
{
    /// <summary>Swap's writes, and waiting for devices.</summary>
    internal DeviceWaits DeviceWaits { get; }
}
