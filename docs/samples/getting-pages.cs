#:project ../../src/MemSim/MemSim.csproj
using MemSim;

using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
Cpu cpu = machine.Cpus[0];
Console.WriteLine("order                  0    1    2    3    4    5    6    7    8    9   10");
Lists("at boot");

Page page = cpu.AllocPages(Gfp.Kernel, order: 5);
Lists("order 5 taken");
cpu.FreePages(page, order: 5);
Lists("and given back");

// A single page comes through the CPU's own list, which is filled by a batch.
Page single = cpu.AllocPage(Gfp.Kernel);
Lists("one page taken");
Console.WriteLine($"CPU 0 keeps {machine.Zones.First(z => z.Name == "DMA32").Pageset(0).Count} free pages for itself");
cpu.FreePage(single);
cpu.Pages.DrainLocalPages();
Lists("list drained");

// By address instead of by struct page; zeroed; an exact number of bytes, the rest given back at once.
VirtualAddress four = cpu.Pages.GetFreePages(Gfp.Kernel, order: 2);
VirtualAddress zeroed = cpu.GetZeroedPage(Gfp.Kernel);
VirtualAddress exact = cpu.Pages.AllocPagesExact(5 * 4096, Gfp.Kernel);
Console.WriteLine($"{four} is page {cpu.Pages.VirtToPage(four).Pfn}; first word of the zeroed page: {cpu.Read<ulong>(zeroed)}");
Lists("5 pages exactly");
cpu.Pages.FreePagesExact(exact, 5 * 4096);
cpu.FreePage(zeroed);
cpu.FreePages(four, order: 2);

// Too large for any free block, or larger than the buddy system's largest: no page.
Console.WriteLine($"order 11: {(cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn, order: 11).IsNull ? "NULL" : "a page")}");

void Lists(string when)
{
    Zone zone = machine.Zones.First(z => z.Name == "DMA32");
    Console.WriteLine($"{when,-18} {string.Concat(Enumerable.Range(0, 11).Select(order => $"{zone.FreeBlocks(order),5}"))}");
}
