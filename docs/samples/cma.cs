#:project ../../src/MemSim/MemSim.csproj
using MemSim;

// A camera needs 8 MiB in one piece, when it is switched on. Reserved for it: 16 MiB, which others use meanwhile.
using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithCma("camera", "16M"));
Cpu cpu = machine.Cpus[0];
CmaArea area = machine.Cma.Get("camera");
Console.WriteLine($"area {area.Name}: pfn {area.Start} to {area.End}, {area.Pages} pages in zone {area.Zone.Name}");

// Movable pages are let in. Unmovable ones never: they could not be asked to go.
MovablePool pool = machine.Migration.CreateMovablePool();
while (pool.Allocate(cpu, Gfp.HighUserMovable | Gfp.NoWarn) >= 0)
{
}

Console.WriteLine($"memory is full: {Inside()} movable pages are in the area, {area.Zone.FreeCmaPages} of it are free");
for (int i = 0; i < pool.Count; i++)
{
    if (i % 2 == 0 && !InArea(pool[i]))
    {
        pool.Free(cpu, i);                           // room elsewhere
    }
}

// cma_alloc(): who is in the way moves out.
long moves = pool.Moves;
Page frames = machine.Cma.Alloc("camera", pages: 2048);
Console.WriteLine($"cma_alloc(2048): {(frames.IsNull ? "NULL" : $"pfn {frames.Pfn} on")}, pages moved out {pool.Moves - moves}, left in the area {Inside()}");
Console.WriteLine($"used {area.UsedPages} of {area.Pages}, found busy {area.BusyRetries} times");
if (!frames.IsNull)
{
    Console.WriteLine($"cma_release(): {machine.Cma.Free(frames, 2048)}");
}

int Inside() => Enumerable.Range(0, pool.Count).Count(i => InArea(pool[i]));

bool InArea(Page page) => !page.IsNull && page.Pfn.Value >= area.Start.Value && page.Pfn.Value < area.End.Value;
