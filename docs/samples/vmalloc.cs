#:project ../../src/MemSim/MemSim.csproj
using MemSim;

using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
Cpu cpu = machine.Cpus[0];

// A machine in use: every other page is somebody else's, and the large blocks are gone.
List<Page> pages = [];
for (Page page = cpu.AllocPage(Gfp.Kernel | Gfp.NoWarn); !page.IsNull; page = cpu.AllocPage(Gfp.Kernel | Gfp.NoWarn))
{
    pages.Add(page);
}

foreach (Page page in pages.Where(p => p.Pfn.Value % 2 == 0))
{
    cpu.FreePage(page);
}

while (!cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn, order: 4).IsNull)
{
}

Console.WriteLine($"half of memory is free, kmalloc(64 KiB) is NULL: {cpu.Kmalloc(64 << 10, Gfp.Kernel | Gfp.NoWarn).IsNull}");
VirtualAddress buffer = cpu.Vmalloc(64 << 10, caller: "driver_probe");
Console.WriteLine($"vmalloc(64 KiB) = {buffer}");

// Addresses follow each other, frames do not: there is a page table entry for each.
for (long at = 0; at < 64 << 10; at += 16 << 10)
{
    Page page = cpu.Vm.VmallocToPage(buffer + at);
    Console.WriteLine($"  {buffer + at} -> pfn {page.Pfn}, which also has the address {page.Address}");
}

cpu.Write(buffer + 5000, 42);
Page second = cpu.Vm.VmallocToPage(buffer + 4096);
Console.WriteLine($"written through one address, read through the other: {cpu.Read<int>(second.Address + (5000 - 4096))}");

Console.Write(machine.Proc.VmallocInfo);
cpu.Vfree(buffer);
Console.WriteLine($"direct map begins at {machine.Memory.DirectMapStart}, vmalloc space at {machine.AddressSpace.Vmalloc.Start}");
