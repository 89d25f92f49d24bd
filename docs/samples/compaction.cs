#:project ../../src/MemSim/MemSim.csproj
using MemSim;

using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
Cpu cpu = machine.Cpus[0];
Zone zone = machine.Zones.First(z => z.Name == "DMA32");

// Memory full of pages that may be moved, as those of processes are; then every other one goes.
MovablePool pool = machine.Migration.CreateMovablePool();
while (pool.Allocate(cpu, Gfp.HighUserMovable | Gfp.NoWarn) >= 0)
{
}

for (int i = pool.Count - 1; i >= 0; i--)
{
    if (pool[i].Pfn.Value % 2 == 0)
    {
        pool.Free(cpu, i);
    }
}

machine.Memory.DrainAllPages();
Lists("every other page freed");
Console.Write(machine.Proc.UnusableIndex.Split('\n').Single(l => l.Contains("DMA32")) + "\n");

// A huge page is wanted. One request would compact for it; /proc/sys/vm/compact_memory does the whole zone.
int number = Enumerable.Range(0, pool.Count).First(i => !pool[i].IsNull && pool[i].Pfn.Value > zone.StartPfn.Value);
Pfn before = pool[number].Pfn;
machine.Sysctl.Set("vm.compact_memory", "1");
Lists("compacted");
Console.WriteLine($"pages moved: {pool.Moves}; number {number} was at {before}, is at {pool[number].Pfn}");
Console.WriteLine($"order 9: {(cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn, order: 9).IsNull ? "NULL" : "a block")}");

void Lists(string when) =>
    Console.WriteLine($"{when,-24} {zone.FreePages} pages free, by order: {string.Join(' ', Enumerable.Range(0, 11).Select(zone.FreeBlocks))}");
