#:project ../../src/MemSim/MemSim.csproj
using MemSim;
using MemSim.Boot;
using MemSim.PageAllocation;

// Before there is a buddy system there are two lists: what is memory, and what of it is taken.
Memblock memblock = new();
memblock.Add(0x0, 0x9f000);                           // as the firmware told
memblock.Add(0x100000, 0x7f00000);
memblock.Reserve(0x1000000, 0x800000);                // the kernel itself

// memblock_alloc() looks from the top, so that low memory stays for those who need it.
Console.WriteLine($"64 KiB: {memblock.Allocate(0x10000, 4096):x}");
Console.WriteLine($"64 KiB below 16 MiB: {memblock.Allocate(0x10000, 4096, max: 0x1000000):x}");
Console.WriteLine($"reserved: {memblock.ReservedBytes >> 10} KiB of {memblock.MemoryBytes >> 10}");
foreach ((ulong start, ulong end) in memblock.FreeRanges())
{
    Console.WriteLine($"  free {start:x8} to {end:x8}");
}

// A real boot: what was asked for before the zones had lists, and what was handed to these in the end.
BootPlan plan = BootPlanner.Plan(MachineSpec.X86_64("128M"));
foreach (EarlyAllocation early in plan.EarlyAllocations.OrderByDescending(e => e.Length).Take(5))
{
    Console.WriteLine($"{early.Length >> 10,6} KiB at {early.Start:x8}: {early.What}");
}

foreach (IGrouping<ReleasePhase, ReleaseRange> phase in plan.Releases.GroupBy(r => r.Phase))
{
    Console.WriteLine($"freed to the buddy system, {phase.Key}: {phase.Count()} ranges, {phase.Sum(r => r.Pages)} pages");
}

using Machine machine = Machine.Boot(plan.Spec);
Console.WriteLine($"and then {machine.Zones.Sum(z => z.TrueFreePages)} pages are free");
