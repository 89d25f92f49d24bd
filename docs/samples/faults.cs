#:project ../../src/MemSim/MemSim.csproj
using MemSim;

using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
Cpu cpu = machine.Cpus[0];
Process parent = machine.CreateProcess("parent");
FaultStory story = new();
machine.Tracing.RecordFaults(story);
using (cpu.Run(parent))
{
    // mmap() promises; a page comes when it is touched.
    VirtualAddress data = parent.Mm.Mmap(2 * 4096, Prot.Read | Prot.Write);
    Tell($"mmap: {parent.Mm.ResidentPages} pages in memory");
    cpu.Read<int>(data);
    Tell("read");
    cpu.Write(data, 42);
    Tell("write");

    // fork() copies page tables, not pages.
    Process child = parent.Fork();
    Tell($"fork: the child has {child.Mm.ResidentPages} pages");
    cpu.Write(data, 43);
    Tell("the parent writes");
    using (cpu.Run(child))
    {
        Console.WriteLine($"the child still reads {cpu.Read<int>(data)}");
        cpu.Write(data, 44);
        Tell("the child writes");
    }
}

void Tell(string what)
{
    Console.WriteLine(what);
    foreach (string line in story.Lines)
    {
        Console.WriteLine("    " + line);
    }

    story.Clear();
}
