#:project ../../src/MemSim/MemSim.csproj
using MemSim;

using Machine machine = Machine.Boot(MachineSpec.X86_64("256M", cpus: 2));

// Per-CPU data: one variable, a copy for each CPU, and no lock.
PerCpuVar<long> packets = machine.PerCpu.Define<long>("packets");
foreach ((int cpu, int count) in ((int, int)[])[(0, 3), (1, 5)])
{
    for (int i = 0; i < count; i++)
    {
        machine.Cpus[cpu].PerCpu.GetCpuVar(packets)++;
        machine.Cpus[cpu].PerCpu.PutCpuVar(packets);
    }
}

Console.WriteLine($"packets: CPU 0 {packets[0]}, CPU 1 {packets[1]}, together {packets[0] + packets[1]}");
Console.WriteLine($"the copies lie at {machine.PerCpu.AddressOf(packets.Pointer, 0)} and {machine.PerCpu.AddressOf(packets.Pointer, 1)}");
PerCpuVar<int> dynamic = machine.Cpus[0].PerCpu.AllocPercpu<int>();
Console.WriteLine($"alloc_percpu: {machine.PerCpu.AddressOf(dynamic.Pointer, 0)} and {machine.PerCpu.AddressOf(dynamic.Pointer, 1)}");
machine.Cpus[0].PerCpu.FreePercpu(dynamic);

// The page allocator does the same with free pages: each CPU has lists of its own for every zone.
Zone zone = machine.Zones.First(z => z.Name == "DMA32");
machine.Memory.DrainAllPages();
Lists("drained");
Page page = machine.Cpus[0].AllocPage(Gfp.Kernel);
Lists("CPU 0 takes one page");
machine.Cpus[1].FreePage(page);
Lists("CPU 1 frees it");
Page warm = machine.Cpus[1].AllocPage(Gfp.Kernel);
Lists("CPU 1 takes one");
Console.WriteLine($"freed last, handed out first: {warm == page}");

List<Page> pages = [.. Enumerable.Range(0, 1000).Select(_ => machine.Cpus[0].AllocPage(Gfp.Kernel))];
pages.ForEach(p => machine.Cpus[0].FreePage(p));
Lists("CPU 0: 1000 taken and freed");

void Lists(string when) =>
    Console.WriteLine($"{when,-28} CPU 0 keeps {zone.Pageset(0).Count,3}, CPU 1 keeps {zone.Pageset(1).Count,3} (batch {zone.Pageset(0).Batch}, high {zone.Pageset(0).High})");
