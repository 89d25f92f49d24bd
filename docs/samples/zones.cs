#:project ../../src/MemSim/MemSim.csproj
using MemSim;

MachineSpec[] specs = [MachineSpec.X86_32("1G"), MachineSpec.X86_64("4G"), MachineSpec.Arm64("4G")];
foreach (MachineSpec spec in specs)
{
    using Machine machine = Machine.Boot(spec);
    Cpu cpu = machine.Cpus[0];
    Console.WriteLine($"{machine.Architecture.Name}");
    foreach (Zone zone in machine.Zones.Where(z => z.IsPopulated))
    {
        Console.WriteLine($"  {zone.Name,-8} {Mib(zone.StartPfn.Value),5} to {Mib(zone.EndPfn.Value),5} MiB  present {zone.PresentPages,7}  managed {zone.ManagedPages,7}");
    }

    // Where a request begins to look. It may fall back to lower zones, never to higher ones.
    foreach (Gfp gfp in (Gfp[])[Gfp.HighUser, Gfp.Kernel, Gfp.Kernel | Gfp.Dma32, Gfp.Kernel | Gfp.Dma])
    {
        Page page = cpu.AllocPage(gfp);
        Console.WriteLine($"  {gfp.KernelName,-22} -> {(page.IsNull ? "nothing" : page.Zone.Name)}");
    }
}

// The fallback is not free: who could have used a higher zone must leave this many pages of the lower ones alone.
using Machine small = Machine.Boot(MachineSpec.X86_32("1G"));
foreach (Zone zone in small.Zones.Where(z => z.IsPopulated))
{
    Console.WriteLine($"{zone.Name,-8} protection: ({string.Join(", ", zone.LowmemReserve)})");
}

static long Mib(long pfn) => pfn >> 8;
