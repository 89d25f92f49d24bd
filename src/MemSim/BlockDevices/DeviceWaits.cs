using System.Diagnostics;

namespace MemSim.BlockDevices;

/// <summary>Waiting for devices. <c>Machine.DeviceWaits</c>.</summary>
internal sealed class DeviceWaits(Machine machine)
{
    /// <summary>Cycles of a CPU in a nanosecond, for the cost clock.</summary>
    private const int CyclesPerNanosecond = 3;

    /// <summary>Swap's writes, which may be on any device.</summary>
    public ISwapWrites SwapWrites { get; set; } = null!;

    /// <summary>Time that was spent waiting for devices, in nanoseconds.</summary>
    public long Nanoseconds { get; private set; }

    /// <summary>A task waits until a moment of the simulated clock at which a device is done.</summary>
    public void Wait(Cpu cpu, long nanoseconds)
    {
        long waited = nanoseconds - machine.Clock.Nanoseconds;
        if (waited <= 0)
        {
            return;
        }

        if ((cpu.Current.Flags & TaskFlags.MemAlloc) != 0)
        {
            // Whoever reclaims waits for memory, whatever it is that he waits for.
            machine.Pressure.Stall(waited, full: machine.Cpus.Count == 1);
        }
        else
        {
            machine.Clock.AdvanceTo(nanoseconds);
        }

        Debug.Assert(machine.Clock.Nanoseconds >= nanoseconds, "who waited sees the time for which he waited");
        Nanoseconds += waited;
        cpu.MmuOrNull?.AddCycles(waited * CyclesPerNanosecond);
    }
}
