#:project ../../src/MemSim/MemSim.csproj
using MemSim;

// 32 bits, 1 GiB: the kernel's part of the address space is too small to map all of it.
using Machine machine = Machine.Boot(MachineSpec.X86_32("1G"));
Cpu cpu = machine.Cpus[0];
Page page = cpu.AllocPage(Gfp.HighUser);
Console.WriteLine($"page {page.Pfn} of {page.Zone.Name}, page_address() is NULL: {page.Address.IsNull}");
Console.WriteLine($"a page of {cpu.AllocPage(Gfp.Kernel).Zone.Name} has an address of its own, always");

// kmap(): a window that anybody on any CPU can use. There are few; who wants one when all are taken sleeps.
VirtualAddress window = cpu.Kmap(page);
cpu.Write(window, 42);
Console.WriteLine($"kmap: {window}, one of {machine.Memory.KmapSlots.Count} windows");
cpu.Kunmap(page);
Console.WriteLine($"kunmap: the window stays until it is needed: page_address() is {page.Address}");
Console.WriteLine($"kmap again: {cpu.Kmap(page)}, the same one");
cpu.Kunmap(page);

// kmap_atomic() and today's kmap_local_page(): a slot of this CPU, a stack of them.
Page other = cpu.AllocPage(Gfp.HighUser);
VirtualAddress first = cpu.HighMemory.KmapLocal(other);
VirtualAddress second = cpu.HighMemory.KmapLocal(cpu.AllocPage(Gfp.HighUser));
Console.WriteLine($"kmap_local: {first}, then {second}");
cpu.HighMemory.KunmapLocal(second);
cpu.HighMemory.KunmapLocal(first);

// 64 bits: the direct map holds everything, and the same calls just say where the page is.
using Machine large = Machine.Boot(MachineSpec.X86_64("1G"));
Page plain = large.Cpus[0].AllocPage(Gfp.HighUser);
Console.WriteLine($"64 bits: {plain.Zone.Name}, kmap = {large.Cpus[0].Kmap(plain)}, page_address() = {plain.Address}");
