#:project ../../src/MemSim/MemSim.csproj
using MemSim;

using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
Cpu cpu = machine.Cpus[0];
using BlockDevice disk = new("vda", "1G");
SimFileSystem files = machine.Files.Mount(disk);
OpenFile file = files.Create("log").Value;
byte[] page = new byte[4096];

// write() ends in memory: the pages are dirty, the disk knows nothing.
for (int i = 0; i < 256; i++)
{
    cpu.Files.Write(file, i * 4096, page);
}

Console.WriteLine($"written: {file.File.CachedPages} pages in memory, {Row("Dirty")}, on the disk {disk.PagesWritten}");
cpu.Files.Fsync(file);
Console.WriteLine($"fsync(): {file.File.CachedPages} pages in memory, {Row("Dirty")}, on the disk {disk.PagesWritten}");

// What is clean can be dropped at any time; the next read fetches it, and more than was asked for.
machine.Sysctl.Set("vm.drop_caches", "1");
Console.WriteLine($"dropped: {file.File.CachedPages} pages in memory");
for (int i = 0; i < 8; i++)
{
    long before = disk.PagesRead;
    cpu.Files.Read(file, i * 4096, page);
    Console.WriteLine($"read page {i}: {disk.PagesRead - before,2} from the disk, {file.File.CachedPages,3} in memory");
}

// Mapped, the same pages are in the process: no copy.
Process process = machine.CreateProcess("reader");
using (cpu.Run(process))
{
    VirtualAddress map = process.Mm.Mmap(default, 8 * 4096, Prot.Read, MapFlags.Shared, file);
    long read = disk.PagesRead;
    cpu.Read<byte>(map);
    Console.WriteLine($"mapped: {process.MinorFaults} minor faults, {process.MajorFaults} major, {disk.PagesRead - read} from the disk, {process.Mm.ResidentPages} pages seen by the process");
}

process.Exit();
file.Close(cpu);

string Row(string name) => machine.Proc.MemInfo.Split('\n').First(l => l.StartsWith(name + ":", StringComparison.Ordinal)).Replace(" ", "");
