using MemSim.BlockDevices;

namespace MemSim;

/// <content>Devices, and waiting for them.</content>
public sealed partial class Machine
{
    /// <summary>Cycles of a CPU in a nanosecond, for the cost clock.</summary>
    private const int CyclesPerNanosecond = 3;

    /// <summary>Swap's writes, which may be on any device.</summary>
    internal ISwapWrites SwapWrites { get; private set; } = null!;

    /// <summary>Time that was spent waiting for devices, in nanoseconds.</summary>
    internal long DeviceWaitNanoseconds { get; private set; }

    /// <summary>A task waits until a moment of the simulated clock at which a device is done.</summary>
    internal void WaitForDevice(Cpu cpu, long nanoseconds)
    {
        long waited = nanoseconds - Clock.Nanoseconds;
        if (waited <= 0)
        {
            return;
        }

        if ((cpu.Current.Flags & TaskFlags.MemAlloc) != 0)
        {
            // Whoever reclaims waits for memory, whatever it is that he waits for.
            Pressure.Stall(waited, full: _cpus.Count == 1);
        }
        else
        {
            Clock.AdvanceTo(nanoseconds);
        }

        DeviceWaitNanoseconds += waited;
        cpu.MmuOrNull?.AddCycles(waited * CyclesPerNanosecond);
    }
}
