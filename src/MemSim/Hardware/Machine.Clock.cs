using MemSim.Hardware;

namespace MemSim;

/// <content>Simulated time.</content>
public sealed partial class Machine
{
    /// <summary>Simulated time since the boot: what was spent waiting for devices and reclaiming, and what <see cref="AdvanceTime"/> added.</summary>
    /// <remarks>The one clock of the machine: devices, the ages of dirty pages, <see cref="MachineReclaim.Pressure"/> and background threads go by it.</remarks>
    public TimeSpan Uptime => TimeSpan.FromTicks(Clock.Nanoseconds / 100);

    /// <summary>The clock behind <see cref="Uptime"/>.</summary>
    internal SimulatedClock Clock { get; } = new();
}
