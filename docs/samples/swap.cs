#:project ../../src/MemSim/MemSim.csproj
using MemSim;

using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
Cpu cpu = machine.Cpus[0];
using BlockDevice disk = new("vdb", "256M");
SwapArea area = machine.Swap.SwapOn(disk);
Process process = machine.CreateProcess("editor");
using (cpu.Run(process))
{
    // All of the 128 MiB, of which the kernel keeps 48 for itself: each page gets a number, its own.
    const long Pages = 32768;
    VirtualAddress memory = process.Mm.Mmap(Pages * 4096, Prot.Read | Prot.Write);
    for (long i = 0; i < Pages; i++)
    {
        cpu.Write(memory + (i * 4096), i);
    }

    Console.WriteLine($"{process.Mm.ResidentPages} pages in memory, {process.Mm.SwapEntries} in swap");
    Console.Write(machine.Proc.Swaps);

    // The first page went out long ago. Its page-table entry says where to.
    ulong entry = process.Mm.Tables.Lookup(memory).Raw;
    Console.WriteLine($"entry of the first page: present {process.Mm.Tables.Lookup(memory).IsPresent}, raw {entry:x16}");

    FaultStory story = new();
    machine.Tracing.RecordFaults(story);
    long read = disk.PagesRead, major = process.MajorFaults;
    Console.WriteLine($"it still holds {cpu.Read<long>(memory)}");
    Console.Write(story);
    Console.WriteLine($"{process.MajorFaults - major} major fault, {disk.PagesRead - read} pages read from the disk");
    Console.WriteLine($"the second page holds {cpu.Read<long>(memory + 4096)}: {process.MajorFaults - major} major faults, {disk.PagesRead - read} pages read");
}

process.Exit();
Console.WriteLine($"after exit {area.UsedPages} slots are in use; swapoff: {machine.Swap.SwapOff(cpu, area)}");
