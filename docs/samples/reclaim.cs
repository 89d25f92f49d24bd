#:project ../../src/MemSim/MemSim.csproj
using MemSim;

// Reclaim starts with the first file. kswapd runs when we say so, to see what happens without it.
using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithSysctl("vm.watermark_boost_factor", "0"));
machine.Background.Mode = BackgroundWork.Manual;
Cpu cpu = machine.Cpus[0];
using BlockDevice disk = new("sda", "1G");
OpenFile file = machine.Files.Mount(disk).Create("film").Value;
byte[] megabyte = new byte[1 << 20];
for (int i = 0; i < 256; i++)
{
    cpu.Files.Write(file, (long)i << 20, megabyte);
    cpu.Files.Fsync(file);                           // on the disk: clean pages can be given up
}

Zone zone = machine.Zones.First(z => z.Name == "DMA32");
Console.WriteLine($"zone {zone.Name}: min {zone.GetWatermarkPages(Watermark.Min)}, low {zone.GetWatermarkPages(Watermark.Low)}, high {zone.GetWatermarkPages(Watermark.High)}");
Show("a file twice as large as memory was written");

machine.Background.Run();
Show("kswapd ran");

// What was read twice is active: it stays while there is something else.
byte[] page = new byte[4096];
for (int round = 0; round < 2; round++)
{
    for (long at = 0; at < 4 << 20; at += 4096)
    {
        cpu.Files.Read(file, at, page);
    }
}

for (int i = 8; i < 200; i++)
{
    cpu.Files.Read(file, (long)i << 20, megabyte);
    machine.Background.Run();
}

Show("4 MiB read twice, then 192 MiB once");
Console.WriteLine($"reading page 0 again: {Asked(0)} pages from the disk; a page read once, 190 MiB ago: {Asked(10 << 20)}");

long Asked(long at)
{
    long before = disk.PagesRead;
    cpu.Files.Read(file, at, page);
    return disk.PagesRead - before;
}

void Show(string when)
{
    Dictionary<string, long> events = machine.Proc.VmStat.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => l.Split(' ')).ToDictionary(w => w[0], w => long.Parse(w[1]));
    Console.WriteLine($"{when}: {zone.FreePages} free");
    Console.WriteLine($"    file pages: active {events["nr_active_file"]}, inactive {events["nr_inactive_file"]}; reclaimed by kswapd {events["pgsteal_kswapd"]}, directly {events["pgsteal_direct"]}");
}
