#:project ../../src/MemSim/MemSim.csproj
using MemSim;

using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
Cpu cpu = machine.Cpus[0];

// kmalloc() rounds up to the next class; ksize() says what one really got.
foreach (long size in (long[])[1, 9, 65, 100, 129, 1025, 8192, 8193, 40000])
{
    VirtualAddress memory = cpu.Kmalloc(size, Gfp.Kernel);
    string from = machine.Slab.DescribeSlabAt(memory)?.Cache ?? "the page allocator";
    Console.WriteLine($"kmalloc({size,5}) is {cpu.Slab.Ksize(memory),5} bytes at {memory} from {from}");
    cpu.Kfree(memory);
}

// Two neighbours in one page.
VirtualAddress first = cpu.Kmalloc(128, Gfp.Kernel);
VirtualAddress second = cpu.Kmalloc(128, Gfp.Kernel);
Console.WriteLine($"{first} and {second}, both in page {cpu.Pages.VirtToPage(first).Pfn}");

// What was freed last is handed out first. kmalloc() leaves what was there, kzalloc() clears it.
cpu.Write(first + 8, 0x5ec7e7UL);
cpu.Kfree(first);
VirtualAddress again = cpu.Kmalloc(128, Gfp.Kernel);
Console.WriteLine($"again {again}, and in it still 0x{cpu.Read<ulong>(again + 8):x}");
cpu.Kfree(again);
again = cpu.Kzalloc(128, Gfp.Kernel);
Console.WriteLine($"again {again}, and in it now 0x{cpu.Read<ulong>(again + 8):x}");

// No bytes: a pointer that may be freed and not used. Too many: NULL. Freeing NULL does nothing.
Console.WriteLine($"kmalloc(0) = {cpu.Kmalloc(0, Gfp.Kernel)}");
Console.WriteLine($"kmalloc(8 MiB) is NULL: {cpu.Kmalloc(8 << 20, Gfp.Kernel | Gfp.NoWarn).IsNull}");
cpu.Kfree(VirtualAddress.Null);
cpu.Kfree(second);
