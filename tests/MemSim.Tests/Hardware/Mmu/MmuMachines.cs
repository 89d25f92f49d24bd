using Xunit;

namespace MemSim.Tests.Hardware.Mmu;

internal static class MmuMachines
{
    public static readonly TheoryData<Architecture, bool> All = new()
    {
        { Architecture.X86_64, false },
        { Architecture.X86_64, true },
        { Architecture.X86_32, false },
        { Architecture.X86_32Pae, false },
        { Architecture.Arm64, false },
    };

    public static Machine Boot(Architecture architecture, bool fiveLevels = false, string memory = "128M", int cpus = 1, MmuOptions? options = null) =>
        Machine.Boot(MachineSpec.Preset(architecture, memory, cpus).WithMmu((options ?? MmuOptions.Default) with { FiveLevels = fiveLevels }));

    /// <summary>An address in the part of the kernel's address space where vmalloc lives, behind what the boot has mapped there.</summary>
    public static VirtualAddress Window(Machine machine) => new(machine.Architecture.Architecture switch
    {
        Architecture.X86_64 => 0xffff_c901_0000_0000,
        Architecture.Arm64 => 0xffff_8001_0800_0000,
        _ => 0xf000_0000,
    });
}
