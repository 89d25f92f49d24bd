#:project ../../src/MemSim/MemSim.csproj
using MemSim;

// The same three wishes on two machines: a fresh one, and one in which every other page is in use.
foreach (bool fragmented in (bool[])[false, true])
{
    using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
    Cpu cpu = machine.Cpus[0];
    if (fragmented)
    {
        Fragment(machine, cpu);
    }

    Console.WriteLine(fragmented ? "a fragmented machine" : "a fresh machine");
    Try("200 bytes", "kmalloc", () => cpu.Kmalloc(200, Gfp.Kernel), 200);
    Try("64 KiB", "kmalloc", () => cpu.Kmalloc(64 << 10, Gfp.Kernel | Gfp.NoWarn), 64 << 10);
    Try("64 KiB", "vmalloc", () => cpu.Vmalloc(64 << 10), 64 << 10);
    Try("64 KiB", "kvmalloc", () => cpu.Slab.Kvmalloc(64 << 10, Gfp.Kernel), 64 << 10);
    Try("100 x 700 bytes", "a cache", () => Many(machine, cpu), 100 * 700);

    void Try(string wish, string how, Func<VirtualAddress> ask, long bytes)
    {
        machine.Memory.DrainAllPages();
        long before = machine.Zones.Sum(z => z.TrueFreePages);
        VirtualAddress memory = ask();
        machine.Memory.DrainAllPages();
        long pages = before - machine.Zones.Sum(z => z.TrueFreePages);
        bool vmalloc = machine.AddressSpace.Vmalloc.Contains(memory);
        Console.WriteLine($"  {wish,-16} by {how,-8} {(memory.IsNull ? "NULL" : $"{pages,3} pages, {(vmalloc ? "frames anywhere" : "frames in one piece")}, {100 * bytes / (pages * 4096),3} % used")}");
    }
}

static VirtualAddress Many(Machine machine, Cpu cpu)
{
    KmemCache cache = machine.Slab.CreateCache("session", size: 700);
    VirtualAddress last = default;
    for (int i = 0; i < 100; i++)
    {
        last = cpu.Alloc(cache, Gfp.Kernel);
    }

    return last;
}

static void Fragment(Machine machine, Cpu cpu)
{
    List<Page> pages = [];
    for (Page page = cpu.AllocPage(Gfp.Kernel | Gfp.NoWarn); !page.IsNull; page = cpu.AllocPage(Gfp.Kernel | Gfp.NoWarn))
    {
        pages.Add(page);
    }

    pages.Where(p => p.Pfn.Value % 2 == 0).ToList().ForEach(p => cpu.FreePage(p));
    machine.Memory.DrainAllPages();
    while (!cpu.AllocPages(Gfp.Kernel | Gfp.NoWarn, order: 4).IsNull)
    {
    }
}
