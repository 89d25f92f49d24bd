#:project ../../src/MemSim/MemSim.csproj
using MemSim;

// What the textbooks' names are made of: in 2.6.32, and what asks for the same today.
(string, LegacyGfp)[] textbook =
[
    ("GFP_KERNEL", LegacyGfp.Kernel), ("GFP_NOFS", LegacyGfp.NoFs), ("GFP_NOIO", LegacyGfp.NoIo), ("GFP_ATOMIC", LegacyGfp.Atomic), ("GFP_NOWAIT", LegacyGfp.NoWait),
    ("GFP_USER", LegacyGfp.User), ("GFP_HIGHUSER", LegacyGfp.HighUser), ("GFP_DMA", LegacyGfp.Dma), ("__GFP_REPEAT", LegacyGfp.Repeat), ("__GFP_COLD", LegacyGfp.Cold),
];
foreach ((string name, LegacyGfp old) in textbook)
{
    Gfp today = GfpEra.ToModern(old);
    Console.WriteLine($"{name,-12} 0x{(uint)old:x5}   6.1: 0x{(uint)today:x6} {today.KernelName}");
}

// Which flag when: three machines of the same kind, each with less memory left.
Gfp[] flags = [Gfp.Kernel, Gfp.NoWait, Gfp.Atomic, Gfp.Kernel | Gfp.MemAlloc];
foreach (Watermark? left in (Watermark?[])[Watermark.High, Watermark.Min, null])
{
    using Machine machine = Machine.Boot(MachineSpec.Arm64("128M").WithSysctl("vm.watermark_boost_factor", "0"));
    Cpu cpu = machine.Cpus[0];
    Zone zone = machine.Zones.First(z => z.IsPopulated);
    long pages = left is Watermark mark ? zone.GetWatermarkPages(mark) : zone.GetWatermarkPages(Watermark.Min) / 4;
    while (zone.FreePages > pages)
    {
        cpu.AllocPage(Gfp.Kernel | Gfp.MemAlloc);
    }

    string answers = string.Join(", ", flags.Select(gfp => $"{gfp.KernelName} {(cpu.AllocPage(gfp | Gfp.NoWarn).IsNull ? "no" : "yes")}"));
    Console.WriteLine($"{left?.ToString().ToLowerInvariant() ?? "min/4",-5} {pages,5} pages free: {answers}");
}

// In an interrupt nobody may sleep, so nobody may ask for what sleeps.
using Machine quiet = Machine.Boot(MachineSpec.X86_64("128M"));
using (quiet.Cpus[0].HardIrq())
{
    Console.WriteLine($"in an interrupt GFP_ATOMIC: {(quiet.Cpus[0].AllocPage(Gfp.Atomic).IsNull ? "no page" : "a page")}");
}
