using MemSim.Statistics;

namespace MemSim;

/// <content>Counters of the whole machine.</content>
public sealed partial class Machine
{
    /// <summary>Figures that the kernel prints and that no subsystem of the machine has yet.</summary>
    internal SystemFigures SystemFigures { get; } = new();

    /// <summary>How much time is lost because memory is short.</summary>
    internal PressureStall Pressure { get; private set; } = null!;

    /// <summary>Counters of events.</summary>
    internal VmEvents Events { get; } = new();
}
