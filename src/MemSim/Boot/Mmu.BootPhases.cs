namespace MemSim;

/// <content>What the boot mapped.</content>
public sealed partial class Mmu
{
    /// <summary>What was mapped in each phase of the boot: identity mapping, kernel image, direct map step by step.</summary>
    public IReadOnlyList<BootPhase> BootPhases => MemSim.Boot.BootPhases.Of(Machine);
}
