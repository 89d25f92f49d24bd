#:project ../../src/MemSim/MemSim.csproj
using MemSim;

using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
Cpu cpu = machine.Cpus[0];
Process process = machine.CreateProcess("shell");
MemoryDescriptor mm = process.Mm;                     // mm_struct
using (cpu.Run(process))
{
    // mmap() promises addresses. No page is taken.
    long free = Free();
    VirtualAddress memory = mm.Mmap(16 * 4096, Prot.Read | Prot.Write);
    Console.WriteLine($"mapped 16 pages: {free - Free()} taken, {mm.ResidentPages} resident");
    cpu.Write(memory, 1);
    Console.WriteLine($"touched one: {mm.ResidentPages} resident");

    // A neighbour with the same rights is no area of its own: the one there grows.
    int areas = mm.Areas.Count();
    VirtualAddress below = mm.Mmap(16 * 4096, Prot.Read | Prot.Write);
    Console.WriteLine($"16 pages more at {below}: {mm.Areas.Count() - areas} areas more");

    // Other rights in the middle make three of one.
    mm.Mprotect(memory + (4 * 4096), 4096, Prot.Read);
    Console.WriteLine($"one page read-only: {mm.Areas.Count() - areas} areas more");

    // A hole divides as well.
    mm.Munmap(memory + (12 * 4096), 4096);
    Console.WriteLine($"one page unmapped: {mm.Areas.Count() - areas} areas more");
    Vma found = mm.FindVma(memory + (12 * 4096))!;    // find_vma(): the first that ends above the address, not one that holds it
    Console.WriteLine($"find_vma() of the hole: {found.Start}");
    Console.Write(process.Maps);
}

process.Exit();

long Free() => machine.Zones.Sum(z => z.TrueFreePages);
